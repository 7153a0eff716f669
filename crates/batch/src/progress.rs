//! How far a run is.

use std::time::Duration;

use serde::Serialize;

use crate::cause::{Cause, Slipped};
use crate::job::Job;
use crate::outcome::Outcome;
use crate::shared::State;

/// What has been counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) read: u64,
    pub(crate) dispatched: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) over: u64,
    pub(crate) followed: u64,
    pub(crate) cut: u64,
    pub(crate) again: u64,
    pub(crate) refused: u64,
    pub(crate) panicked: bool,
}

impl Tally {
    /// A try begins.
    pub(crate) fn began(&mut self, job: &Job) {
        self.dispatched += 1;
        self.again += u64::from(job.tries > 1);
    }

    /// There is an outcome of an item, or of a page of it; `goes_on` if the page that it names follows.
    pub(crate) fn ended(&mut self, outcome: &Outcome, goes_on: bool) {
        self.done += 1;
        self.failed += u64::from(outcome.is_failed());
        self.followed += u64::from(outcome.depth > 0);
        self.over += u64::from(!goes_on);
        self.cut += u64::from(!goes_on && outcome.next.is_some());
    }
}

/// How far a run is, at one moment.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Since the run began.
    pub elapsed: Duration,
    /// Items read from the input.
    pub read: u64,
    /// Tries begun.
    pub dispatched: u64,
    /// Outcomes: of items, and of pages that followed them.
    pub done: u64,
    /// Of them, those that failed.
    pub failed: u64,
    /// Of the outcomes, those of pages that a response named.
    pub followed: u64,
    /// Items with an outcome to which no page follows any more.
    pub over: u64,
    /// Of them, those to which further pages would follow, but for the bound.
    pub cut: u64,
    /// Tries that were not the first of their item.
    pub again: u64,
    /// Answers of 429 and 503.
    pub refused: u64,
    /// Tries under way.
    pub in_flight: usize,
    /// Items set aside: to be sent again, or their origin must not be sent to yet.
    pub aside: usize,
    /// Origins that are slowed.
    pub slowed: usize,
    /// Of an adaptive run: what the origins of items in the run may be sent a second now, together.
    pub allowed: Option<f64>,
    /// By how much the schedule has slipped, and why.
    pub slipped: [(Cause, Duration); Cause::ALL.len()],
    /// How long fetches were kept from being sent because outcomes were not taken.
    pub untaken: Duration,
    /// The run was told to stop, or has panicked.
    pub stopped: bool,
    /// A task of the run, its performer or its items have panicked: nothing more is sent, and items may be
    /// without an outcome.
    pub panicked: bool,
}

impl Progress {
    pub(crate) fn of(state: &State, now: Duration) -> Self {
        let (tally, dispatch) = (&state.tally, &state.dispatch);
        let slipped: &Slipped = &dispatch.slipped;
        Self {
            elapsed: now,
            read: tally.read,
            dispatched: tally.dispatched,
            done: tally.done,
            failed: tally.failed,
            followed: tally.followed,
            over: tally.over,
            cut: tally.cut,
            again: tally.again,
            refused: tally.refused,
            in_flight: dispatch.in_flight,
            aside: dispatch.aside(),
            slowed: dispatch.origins.slowed(now),
            allowed: dispatch.origins.allowed(),
            slipped: Cause::ALL.map(|cause| (cause, slipped[cause as usize])),
            untaken: dispatch.untaken_time(now),
            stopped: dispatch.stopped,
            panicked: tally.panicked,
        }
    }

    /// By how much the schedule has slipped in all.
    #[must_use]
    pub fn slip(&self) -> Duration {
        self.slipped.iter().map(|(_, slip)| *slip).sum()
    }
}

/// What an adaptive run has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Adaptive {
    /// The origins with the most requests, 16 at most, those with most first.
    pub origins: Vec<AdaptiveRate>,
    /// How many others there were.
    pub others: u64,
}

/// The highest rate that an origin bears, as far as it was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdaptiveRate {
    /// Scheme, host and port.
    pub origin: String,
    /// Tries begun there.
    pub requests: u64,
    /// Requests a second that it bore when it was last in trouble, or that it may be sent now, if that is
    /// more.
    pub per_second: f64,
    /// How often it was in trouble: refused, failed, or became slow. If never, it may bear more.
    pub troubles: u64,
}
