//! Fetches that wait for a socket, or for a free stream on one: bounded in number, in the order in
//! which they came. Only the first is ever woken.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use fetchway_policy::{ErrorName, FetchError};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Who waits.
#[derive(Debug)]
pub(crate) struct Queue {
    line: Mutex<Places>,
    /// As many as stand in it, to be read without its lock.
    waiting: AtomicUsize,
    /// Wakes those who wait for a relay to be reached, or not.
    changed: Notify,
    bound: usize,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    places: BTreeMap<u64, Option<Waker>>,
}

impl Queue {
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            line: Mutex::default(),
            waiting: AtomicUsize::new(0),
            changed: Notify::new(),
            bound,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody waits. Whoever comes later goes behind.
    pub(crate) fn is_waiting(&self) -> bool {
        // A waiter is counted before it looks for room under a session's lock, and room is made under
        // that lock before it is counted here: one of the two sees the other.
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// There may be room: the first is to look.
    pub(crate) fn nudge(&self) {
        if !self.is_waiting() {
            return;
        }
        let first = self
            .lock()
            .places
            .first_entry()
            .and_then(|mut first| first.get_mut().take());
        if let Some(waker) = first {
            waker.wake();
        }
    }

    /// A relay has been reached, or could not be.
    pub(crate) fn relay_changed(&self) {
        self.changed.notify_waiters();
        self.nudge();
    }

    /// Ends at the next change.
    pub(crate) fn change(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Stands in the queue until the place is dropped.
    ///
    /// # Errors
    /// `queue_full`.
    pub(crate) fn enter(&self) -> Result<Place<'_>, FetchError> {
        let mut line = self.lock();
        if line.places.len() >= self.bound {
            let detail = format!(
                "{} fetches are waiting for a relay already: wait for some of them, or allow more.",
                self.bound
            );
            return Err(FetchError::new(ErrorName::QueueFull, detail));
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

/// A place in the queue.
pub(crate) struct Place<'q> {
    queue: &'q Queue,
    number: u64,
}

impl Place<'_> {
    /// Whether this is the first. Whoever asks is woken when it may have become that, and while it is,
    /// when there may be room.
    pub(crate) fn is_first(&self, cx: &Context<'_>) -> bool {
        let mut line = self.queue.lock();
        match line.places.get_mut(&self.number) {
            Some(Some(waker)) => waker.clone_from(cx.waker()),
            Some(none) => *none = Some(cx.waker().clone()),
            None => {}
        }
        line.places
            .first_key_value()
            .is_some_and(|(first, _)| *first == self.number)
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
