//! Fetches that wait for a socket, or for a free stream on one: bounded in number, in the order in
//! which they came. Whoever was woken and does not come is passed over.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use fetchway_policy::ErrorName;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::error::Error;

/// How long whoever was woken for room may take to come before the next one is woken. A future that
/// is held and not polled never comes.
const PATIENCE: Duration = Duration::from_millis(10);

/// Who waits.
#[derive(Debug)]
pub(crate) struct Queue {
    line: Mutex<Places>,
    /// As many as stand in it, to be read without its lock.
    waiting: AtomicUsize,
    /// Those who wait for a relay without standing in line.
    connecting: AtomicUsize,
    /// Wakes those who wait for a relay to be reached, or not.
    changed: Notify,
    bound: usize,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    /// Without a waker: it was woken and has not come back.
    places: BTreeMap<u64, Option<Waker>>,
    /// When somebody was woken last.
    nudged: Option<Instant>,
}

impl Places {
    fn nudge(&mut self, now: Instant) -> Option<Waker> {
        self.nudged = Some(now);
        self.places.values_mut().find_map(Option::take)
    }
}

impl Queue {
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            line: Mutex::default(),
            waiting: AtomicUsize::new(0),
            connecting: AtomicUsize::new(0),
            changed: Notify::new(),
            bound,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody waits in line. Whoever comes later goes behind.
    pub(crate) fn is_waiting(&self) -> bool {
        // A waiter is counted before it looks for room under a session's lock, and room is made under
        // that lock before it is counted here: one of the two sees the other.
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Whether anybody would be glad of a relay.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_waiting() || self.connecting.load(Ordering::Acquire) > 0
    }

    /// There may be room: the first that is not on its way is to look.
    pub(crate) fn nudge(&self) {
        if !self.is_waiting() {
            return;
        }
        let woken = self.lock().nudge(Instant::now());
        if let Some(waker) = woken {
            waker.wake();
        }
    }

    /// There is room. If whoever was woken for it has not come, wakes the next one; says when to ask
    /// again, if there is anybody left to be woken.
    pub(crate) fn nudge_late(&self, now: Instant) -> Option<Instant> {
        if !self.is_waiting() {
            return None;
        }
        let mut line = self.lock();
        if line.places.values().all(Option::is_none) {
            return None;
        }
        let at = *line.nudged.get_or_insert(now) + PATIENCE;
        if now < at {
            return Some(at);
        }
        let woken = line.nudge(now);
        drop(line);
        if let Some(waker) = woken {
            waker.wake();
        }
        Some(now + PATIENCE)
    }

    /// A relay has been reached, or could not be.
    pub(crate) fn relay_changed(&self) {
        self.changed.notify_waiters();
        self.nudge();
    }

    /// The client is closed: everybody is to look.
    pub(crate) fn closed(&self) {
        self.changed.notify_waiters();
        let mut line = self.lock();
        let wake: Vec<Waker> = line.places.values_mut().filter_map(Option::take).collect();
        drop(line);
        wake.into_iter().for_each(Waker::wake);
    }

    /// Ends at the next change.
    pub(crate) fn change(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Waits for a relay until this is dropped, in nobody's way.
    pub(crate) fn connecting(&self) -> Connecting<'_> {
        self.connecting.fetch_add(1, Ordering::AcqRel);
        Connecting(self)
    }

    /// Stands in the queue until the place is dropped.
    ///
    /// # Errors
    /// `queue_full`.
    pub(crate) fn enter(&self) -> Result<Place<'_>, Error> {
        let mut line = self.lock();
        if line.places.len() >= self.bound {
            let detail = format!(
                "{} fetches are waiting for a relay already: wait for some of them, or allow more.",
                self.bound
            );
            return Err(Error::new(ErrorName::QueueFull, detail));
        }
        let number = line.next;
        line.next += 1;
        line.places.insert(number, None);
        self.waiting.store(line.places.len(), Ordering::Release);
        Ok(Place {
            queue: self,
            number,
        })
    }
}

/// See [`Queue::connecting`].
pub(crate) struct Connecting<'q>(&'q Queue);

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.connecting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A place in the queue.
pub(crate) struct Place<'q> {
    queue: &'q Queue,
    number: u64,
}

impl Place<'_> {
    /// Whether it is this one's turn: everybody before it has been woken and has not come back.
    /// Whoever asks is woken when it may have become that, and while it is, when there may be room.
    pub(crate) fn is_first(&self, cx: &Context<'_>) -> bool {
        let mut line = self.queue.lock();
        match line.places.get_mut(&self.number) {
            Some(Some(waker)) => waker.clone_from(cx.waker()),
            Some(none) => *none = Some(cx.waker().clone()),
            None => {}
        }
        let mut before = line.places.range(..self.number);
        before.all(|(_, waker)| waker.is_none())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut line = self.queue.lock();
        line.places.remove(&self.number);
        self.queue
            .waiting
            .store(line.places.len(), Ordering::Release);
        drop(line);
        // What there is may be enough for the next as well.
        self.queue.nudge();
    }
}

/// Enrols a waiter before it looks, so that nothing is missed in between.
pub(crate) fn enrol(notified: Pin<&mut Notified<'_>>) {
    notified.enable();
}
