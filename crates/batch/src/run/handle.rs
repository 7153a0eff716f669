//! The caller's side of a run: a handle, its outcomes, and the places of those that it writes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use fetchway_dispatch::FoundRates;
use futures_util::Stream;

use super::driver::Tasks;
use super::outbox::Outbox;
use super::progress::Progress;
use super::shared::Shared;
use crate::outcome::Done;

/// Handle of a run. Dropping it changes nothing.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Shared>);

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl Handle {
    /// Stops the run: nothing more is sent, and fetches in flight are finished. Items that were not sent, were
    /// to be tried again, or fail with `cancelled` from now on have no outcome.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Start of the run, in microseconds since the Unix epoch.
    #[must_use]
    pub fn began(&self) -> u64 {
        self.0.clock.epoch(Duration::ZERO)
    }

    /// Progress of the run.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.0.progress()
    }

    /// Rates found so far, in an adaptive run.
    #[must_use]
    pub fn found_rates(&self) -> Option<FoundRates> {
        self.0.state().dispatch.found_rates()
    }
}

/// Outcomes of a run, in the order in which they come. Dropping them ends the run and everything in flight.
pub struct Outcomes<H> {
    pub(super) outbox: Arc<Outbox<H>>,
    pub(super) shared: Arc<Shared>,
    /// Number of outcomes that are worth waking a thread for, and the longest wait for them.
    pub(super) gather: (usize, Duration),
    pub(super) tasks: Arc<Tasks>,
}

impl<H> Outcomes<H> {
    /// Waits for outcomes, up to a millisecond longer if there are only a few, and appends them to `into`:
    /// nothing when the run is over. They keep their places in flight until the returned value is dropped.
    /// Blocks.
    pub fn wait(&mut self, into: &mut Vec<Done<H>>) -> Places {
        let before = into.len();
        let (enough, long) = self.gather;
        self.outbox.wait(into, enough, long);
        Places {
            shared: Arc::clone(&self.shared),
            count: into.len() - before,
        }
    }
}

impl<H> fmt::Debug for Outcomes<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outcomes")
    }
}

/// An outcome gives its place in flight back as it is taken.
impl<H> Stream for Outcomes<H> {
    type Item = Done<H>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Done<H>>> {
        let next = self.outbox.poll_next(cx);
        if matches!(next, Poll::Ready(Some(_))) {
            self.shared.handle_taken(1);
        }
        next
    }
}

impl<H> Drop for Outcomes<H> {
    fn drop(&mut self) {
        // Taken, so that a worker that runs at this moment starts no others.
        let tasks = self.tasks.lock().take();
        drop(tasks);
    }
}

/// Places in flight of outcomes that are being written. Dropped, they are free for other items.
#[must_use = "the places are free when this is dropped"]
pub struct Places {
    shared: Arc<Shared>,
    count: usize,
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Places({})", self.count)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.shared.handle_taken(self.count);
    }
}
