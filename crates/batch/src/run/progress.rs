//! Progress of a run.

use std::time::Duration;

use fetchway_dispatch::Slips;

use crate::outcome::Outcome;

/// Progress of a run at one moment.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Time since the run began.
    pub elapsed: Duration,
    /// Items read from the input.
    pub read: u64,
    /// Tries begun.
    pub dispatched: u64,
    /// Outcomes, of items and of pages that followed them.
    pub done: u64,
    /// Outcomes that are failures.
    pub failed: u64,
    /// Outcomes of pages that a response named.
    pub followed: u64,
    /// Items with an outcome and no page left to fetch.
    pub finished: u64,
    /// Finished items with more pages than are followed.
    pub cut: u64,
    /// Tries that were not the first of their item.
    pub retried: u64,
    /// Responses of 429 and 503.
    pub refused: u64,
    /// Tries in flight.
    pub in_flight: usize,
    /// Items set aside: they are tried again later, or their origin must not be sent to yet.
    pub aside: usize,
    /// Number of origins that are slowed.
    pub slowed: usize,
    /// Requests a second that the origins of items in the run may be sent now, together; only in an adaptive
    /// run.
    pub allowed: Option<f64>,
    /// Time by which the schedule has slipped for each cause, in the order of [`Cause::ALL`](crate::Cause::ALL).
    pub slipped: Slips,
    /// Time for which fetches were kept from being sent because outcomes were not taken.
    pub untaken: Duration,
    /// The run was told to stop, or has panicked.
    pub stopped: bool,
    /// A task of the run, its performer or its items have panicked: nothing more is sent, and items may have
    /// no outcome.
    pub panicked: bool,
}

impl Progress {
    /// Counts the try that begins.
    pub(crate) fn count_try(&mut self, tries: u32) {
        self.dispatched += 1;
        self.retried += u64::from(tries > 1);
    }

    /// Counts an outcome of an item, or of a page of it; `continues` if the page that it names is fetched.
    pub(crate) fn count_outcome(&mut self, outcome: &Outcome, continues: bool) {
        self.done += 1;
        self.failed += u64::from(outcome.is_failed());
        self.followed += u64::from(outcome.depth > 0);
        self.finished += u64::from(!continues);
        self.cut += u64::from(!continues && outcome.next.is_some());
    }

    /// Time by which the schedule has slipped in all.
    #[must_use]
    pub fn slip(&self) -> Duration {
        self.slipped.iter().sum()
    }
}
