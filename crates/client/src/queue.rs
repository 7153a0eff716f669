//! The queue of fetches that wait for a socket, or for room on one: bounded, and served in the order of
//! arrival. A fetch that was woken and is not polled is passed over.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use fetchway_policy::ErrorName;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::error::Error;

/// Time after which the next fetch is woken if the previous one has not used the room. A future that is
/// kept and not polled never uses it.
const WAKE_DELAY: Duration = Duration::from_millis(10);

/// The waiting fetches of a client, and the tasks that wait for a relay.
#[derive(Debug)]
pub(crate) struct Queue {
    waiters: Mutex<Waiters>,
    /// Number of waiting fetches, readable without the lock.
    waiting: AtomicUsize,
    /// Number of tasks that wait for a relay outside the queue.
    connecting: AtomicUsize,
    /// Notifies tasks that wait for a relay to be reached or found unreachable.
    changed: Notify,
    bound: usize,
}

#[derive(Debug, Default)]
struct Waiters {
    next: u64,
    /// Wakers by position; `None` for a fetch that was woken and has not been polled since.
    wakers: BTreeMap<u64, Option<Waker>>,
    /// When a fetch was last woken.
    woken_at: Option<Instant>,
}

impl Waiters {
    fn take_next(&mut self, now: Instant) -> Option<Waker> {
        self.woken_at = Some(now);
        self.wakers.values_mut().find_map(Option::take)
    }
}

impl Queue {
    /// Returns a queue for at most `bound` fetches.
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            waiters: Mutex::default(),
            waiting: AtomicUsize::new(0),
            connecting: AtomicUsize::new(0),
            changed: Notify::new(),
            bound,
        }
    }

    /// Returns true if a fetch waits. A fetch that arrives then goes behind it.
    pub(crate) fn is_waiting(&self) -> bool {
        // A fetch is counted before it checks for room under a session's lock, and room is made under that
        // lock before the count is read here. So either the fetch sees the room, or the count is seen here.
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Returns true if a fetch or a task waits for a relay.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_waiting() || self.connecting.load(Ordering::Acquire) > 0
    }

    /// Wakes the next waiting fetch, as there may be room for it.
    pub(crate) fn wake_next(&self) {
        if !self.is_waiting() {
            return;
        }
        let woken = self.waiters.lock().take_next(Instant::now());
        if let Some(waker) = woken {
            waker.wake();
        }
    }

    /// Wakes the next waiting fetch if the one before has not used the room in time. To be called while
    /// there is room. Returns when to call again, if a fetch is left to be woken.
    pub(crate) fn wake_next_if_late(&self, now: Instant) -> Option<Instant> {
        if !self.is_waiting() {
            return None;
        }
        let mut waiters = self.waiters.lock();
        if waiters.wakers.values().all(Option::is_none) {
            return None;
        }
        let at = *waiters.woken_at.get_or_insert(now) + WAKE_DELAY;
        if now < at {
            return Some(at);
        }
        let woken = waiters.take_next(now);
        drop(waiters);
        if let Some(waker) = woken {
            waker.wake();
        }
        Some(now + WAKE_DELAY)
    }

    /// Reports that a relay was reached, found unreachable or lost.
    pub(crate) fn relay_changed(&self) {
        self.changed.notify_waiters();
        self.wake_next();
    }

    /// Wakes all that wait, as the client was closed.
    pub(crate) fn wake_all(&self) {
        self.changed.notify_waiters();
        let mut waiters = self.waiters.lock();
        let wakers = waiters.wakers.values_mut();
        let woken: Vec<Waker> = wakers.filter_map(Option::take).collect();
        drop(waiters);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Waits for the next change of a relay. Changes count from the first poll, or from
    /// [`Notified::enable`].
    pub(crate) fn change(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Counts the caller as waiting for a relay, outside the queue, until the guard is dropped.
    pub(crate) fn wait_for_relay(&self) -> Connecting<'_> {
        self.connecting.fetch_add(1, Ordering::AcqRel);
        Connecting(self)
    }

    /// Enters the queue until the position is dropped.
    ///
    /// # Errors
    /// `queue_full` if the queue is full.
    pub(crate) fn enter(&self) -> Result<Position<'_>, Error> {
        let mut waiters = self.waiters.lock();
        if waiters.wakers.len() >= self.bound {
            let detail = format!(
                "The limit of {} waiting fetches is reached: start fewer at once, or allow \
                 more to wait.",
                self.bound
            );
            return Err(Error::new(ErrorName::QueueFull, detail));
        }
        let number = waiters.next;
        waiters.next += 1;
        waiters.wakers.insert(number, None);
        self.waiting.store(waiters.wakers.len(), Ordering::Release);
        Ok(Position {
            queue: self,
            number,
        })
    }
}

/// Counts as waiting for a relay while it exists: see [`Queue::wait_for_relay`].
pub(crate) struct Connecting<'q>(&'q Queue);

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.connecting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A fetch's position in the queue.
pub(crate) struct Position<'q> {
    queue: &'q Queue,
    number: u64,
}

impl Position<'_> {
    /// Returns true if it is this fetch's turn: all fetches before it have been woken and not polled
    /// since. The caller is woken when its turn may have come, and during its turn when there may be
    /// room.
    pub(crate) fn is_first(&self, cx: &Context<'_>) -> bool {
        let mut waiters = self.queue.waiters.lock();
        match waiters.wakers.get_mut(&self.number) {
            Some(Some(waker)) => waker.clone_from(cx.waker()),
            Some(none) => *none = Some(cx.waker().clone()),
            None => {}
        }
        let mut before = waiters.wakers.range(..self.number);
        before.all(|(_, waker)| waker.is_none())
    }
}

impl Drop for Position<'_> {
    fn drop(&mut self) {
        let mut waiters = self.queue.waiters.lock();
        waiters.wakers.remove(&self.number);
        let waiting = waiters.wakers.len();
        self.queue.waiting.store(waiting, Ordering::Release);
        drop(waiters);
        // There may be room for the next fetch as well.
        self.queue.wake_next();
    }
}
