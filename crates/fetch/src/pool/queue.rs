//! The fetches that wait for a connection or a stream, in order of arrival.

use std::collections::VecDeque;

use fetchway_policy::FetchError;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Length from which a queue is searched for fetches that have gone.
const FIRST_PRUNE: usize = 64;

/// The message to a waiting fetch.
pub(super) enum Turn<L> {
    /// The fetch gets a connection.
    Take(L),
    /// The fetch must ask its site again.
    AskAgain,
    /// No connection could be opened.
    Failed(FetchError),
}

/// A waiting fetch.
pub(super) struct Waiter<L> {
    pub(super) tell: oneshot::Sender<Turn<L>>,
    /// End of the fetch's connect time.
    until: Instant,
}

/// The waiting fetches. A fetch that goes leaves its entry behind. Such entries are removed as the queue
/// doubles, so the queue is at most twice as long as its live part.
pub(super) struct Queue<L> {
    waiters: VecDeque<Waiter<L>>,
    prune_at: usize,
    /// Latest end of a connect time, of all waiting fetches.
    latest: Option<Instant>,
}

impl<L> Queue<L> {
    pub(super) fn new() -> Self {
        Self {
            waiters: VecDeque::new(),
            prune_at: FIRST_PRUNE,
            latest: None,
        }
    }

    /// Adds a fetch whose connect time ends at `until`.
    pub(super) fn push(&mut self, until: Instant) -> oneshot::Receiver<Turn<L>> {
        if self.waiters.len() >= self.prune_at {
            self.waiters.retain(|waiter| !waiter.tell.is_closed());
            self.prune_at = FIRST_PRUNE.max(2 * self.waiters.len());
        }
        let (tell, turn) = oneshot::channel();
        self.waiters.push_back(Waiter { tell, until });
        self.latest = self.latest.max(Some(until));
        turn
    }

    /// Number of entries, including those of fetches that have gone.
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Removes the first fetch that has not gone.
    pub(super) fn pop(&mut self) -> Option<Waiter<L>> {
        while let Some(waiter) = self.waiters.pop_front() {
            if !waiter.tell.is_closed() {
                return Some(waiter);
            }
        }
        self.latest = None;
        None
    }

    /// Puts a fetch that [`Self::pop`] returned back to the front.
    pub(super) fn put_back(&mut self, waiter: Waiter<L>) {
        self.latest = self.latest.max(Some(waiter.until));
        self.waiters.push_front(waiter);
    }

    /// The latest end of a connect time.
    pub(super) fn latest(&self) -> Option<Instant> {
        self.latest
    }

    /// Removes all fetches.
    pub(super) fn take_all(&mut self) -> VecDeque<Waiter<L>> {
        self.latest = None;
        std::mem::take(&mut self.waiters)
    }

    /// Removes the fetches whose connect time ends at `until` or before.
    pub(super) fn take_until(&mut self, until: Instant) -> VecDeque<Waiter<L>> {
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
    fn fetches_that_have_gone_are_skipped_and_removed() {
        let mut queue: Queue<()> = Queue::new();
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
