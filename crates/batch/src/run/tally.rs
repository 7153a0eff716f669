//! Counts of a run.

use crate::outcome::Outcome;

/// Counts of a run; [`Progress`](crate::Progress) describes each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) read: u64,
    pub(crate) dispatched: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) finished: u64,
    pub(crate) followed: u64,
    pub(crate) cut: u64,
    pub(crate) retried: u64,
    pub(crate) refused: u64,
    pub(crate) panicked: bool,
}

impl Tally {
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
}
