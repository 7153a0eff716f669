//! The fetches that wait for a connection or for a stream's place, first come first served.

use std::collections::VecDeque;

use fetchway_policy::FetchError;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::site::Lease;

/// Length from which a queue is searched for fetches that have gone.
const FIRST_PRUNE: usize = 64;

/// What a waiting fetch is told.
pub(super) enum Turn {
    Take(Lease),
    AskAgain,
    Failed(FetchError),
}

/// One that waits.
pub(super) struct Waiter {
    pub(super) tell: oneshot::Sender<Turn>,
    /// When its connect time ends.
    until: Instant,
}

/// Those that wait. One that goes leaves its entry behind; these are cleared away as the queue
/// doubles, so it is never more than twice as long as its live part.
pub(super) struct Queue {
    waiters: VecDeque<Waiter>,
    prune_at: usize,
    /// No waiter's connect time ends later.
    latest: Option<Instant>,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            waiters: VecDeque::new(),
            prune_at: FIRST_PRUNE,
            latest: None,
        }
    }

    /// Enters a fetch whose connect time ends at `until`.
    pub(super) fn push(&mut self, until: Instant) -> oneshot::Receiver<Turn> {
        if self.waiters.len() >= self.prune_at {
            self.waiters.retain(|waiter| !waiter.tell.is_closed());
            self.prune_at = FIRST_PRUNE.max(2 * self.waiters.len());
        }
        let (tell, turn) = oneshot::channel();
        self.waiters.push_back(Waiter { tell, until });
        self.latest = self.latest.max(Some(until));
        turn
    }

    /// How many wait, some of whom may have gone.
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// The first that has not gone.
    pub(super) fn pop(&mut self) -> Option<Waiter> {
        while let Some(waiter) = self.waiters.pop_front() {
            if !waiter.tell.is_closed() {
                return Some(waiter);
            }
        }
        self.latest = None;
        None
    }

    /// Puts the one that [`Self::pop`] gave back in front.
    pub(super) fn put_back(&mut self, waiter: Waiter) {
        self.latest = self.latest.max(Some(waiter.until));
        self.waiters.push_front(waiter);
    }

    /// When the last connect time of those who wait ends.
    pub(super) fn latest(&self) -> Option<Instant> {
        self.latest
    }

    /// Takes out all.
    pub(super) fn take_all(&mut self) -> VecDeque<Waiter> {
        self.latest = None;
        std::mem::take(&mut self.waiters)
    }

    /// Takes out those whose connect time ends at `until` or before.
    pub(super) fn take_until(&mut self, until: Instant) -> VecDeque<Waiter> {
        let (over, rest) = self
            .take_all()
            .into_iter()
            .partition(|waiter| waiter.until <= until);
        self.waiters = rest;
        self.latest = self.waiters.iter().map(|waiter| waiter.until).max();
        over
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn those_who_have_gone_are_passed_over_and_cleared_away() {
        let mut queue = Queue::new();
        let now = Instant::now();
        for _ in 0..10 * FIRST_PRUNE {
            drop(queue.push(now));
            assert!(queue.len() <= FIRST_PRUNE);
        }
        let first = queue.push(now);
        let second = queue.push(now + Duration::from_secs(1));
        assert_eq!(queue.latest(), Some(now + Duration::from_secs(1)));
        drop(first);
        let waiter = queue.pop().expect("the second waits");
        queue.put_back(waiter);
        assert!(queue.take_until(now).is_empty());
        assert_eq!((queue.len(), queue.take_all().len()), (1, 1));
        assert!(queue.pop().is_none() && queue.latest().is_none());
        drop(second);
    }
}
