//! A gate: the common part of a lane and an origin, with permits, a pace, and an order of accounts.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::parts::{InSources, OfOrigin};
use crate::lane::Rate;
use crate::slab::List;

/// Distance of "never", used when a configured time is more than an `Instant` can hold.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Rank of an account at a gate: permits held, time of the last dispatch here, and number of its member.
pub(super) type Rank = (usize, u64, u32);

#[derive(Debug)]
pub(super) struct Gate {
    /// `LANE` or `ORIGIN`.
    pub(super) side: usize,
    limit: usize,
    pub(super) held: usize,
    /// The part of `held` whose own reader has stopped.
    pub(super) paused: usize,
    /// Fetches that wait and need this gate.
    pub(super) waiting: usize,
    interval: Option<Duration>,
    /// Time before which nothing is dispatched: the next slot of the pace, or the end of a Retry-After.
    pub(super) open_at: Option<Instant>,
    /// Set if a fetch has waited for the slot `open_at`, which then stays due until it is used.
    pub(super) owed: bool,
    /// Set if the gate may have opened in the current event, and is served before the event ends.
    pub(super) opened: bool,
    /// The timer that is set for this gate.
    pub(super) armed: Option<Instant>,
    /// Accounts with flows registered here: those that read, and those that have stalled.
    ready: [BTreeSet<Rank>; 2],
    /// An origin's edges.
    pub(super) edges: List<OfOrigin>,
    /// Edges of a lane with flows in limbo whose origin was open at the last check.
    pub(super) sources: List<InSources>,
}

impl Gate {
    pub(super) fn new(side: usize, limit: usize, rate: Option<Rate>) -> Self {
        Self {
            side,
            limit,
            held: 0,
            paused: 0,
            waiting: 0,
            interval: rate.map(Rate::interval),
            open_at: None,
            owed: false,
            opened: false,
            armed: None,
            ready: [BTreeSet::new(), BTreeSet::new()],
            edges: List::new(),
            sources: List::new(),
        }
    }

    /// Returns true if the pace and Retry-After allow a dispatch.
    pub(super) fn due(&self, now: Instant) -> bool {
        self.open_at.is_none_or(|at| at <= now)
    }

    /// Returns true if a permit is free within the limit.
    pub(super) fn spare(&self) -> bool {
        self.held < self.limit
    }

    /// Returns true if a permit is free, possibly one that paused fetches lend.
    pub(super) fn spare_or_lent(&self) -> bool {
        let lent = self.paused.min(self.limit.div_ceil(8));
        self.held < self.limit.saturating_add(lent)
    }

    /// Returns true if some account may dispatch.
    pub(super) fn open_any(&self, now: Instant) -> bool {
        self.spare_or_lent() && self.due(now)
    }

    /// Returns true if an account may dispatch that has stalled here, or one that has not.
    pub(super) fn open_to(&self, stalled: bool, now: Instant) -> bool {
        (self.spare() || (!stalled && self.spare_or_lent())) && self.due(now)
    }

    /// Returns true if the gate is served in the current event, or when its timer is handled.
    pub(super) fn to_serve(&self, now: Instant) -> bool {
        self.opened || self.armed.is_some_and(|at| at <= now)
    }

    /// Takes a permit and, where there is a pace, its slot.
    pub(super) fn take(&mut self, now: Instant) {
        self.held += 1;
        if let Some(interval) = self.interval {
            // An owed slot keeps to the schedule even if the wake-up was late. Otherwise no fetch wanted
            // the past slots, and they are lost.
            let slot = match self.open_at {
                Some(at) if self.owed => at,
                Some(at) => at.max(now),
                None => now,
            };
            self.open_at = Some(later(slot, interval));
        }
    }

    /// Adds a member that waits here.
    pub(super) fn list(&mut self, stalled: bool, rank: Rank) {
        self.ready[usize::from(stalled)].insert(rank);
    }

    /// Removes a member from the order.
    pub(super) fn unlist(&mut self, stalled: bool, rank: Rank) {
        let present = self.ready[usize::from(stalled)].remove(&rank);
        debug_assert!(present, "a listed member stands under its present rank");
    }

    /// Returns the member to serve next: the one with the fewest permits here, and among equals the one not
    /// served for longest.
    pub(super) fn best(&self) -> Option<u32> {
        let reading = self.ready[0].first();
        let stalled = self.ready[1].first().filter(|_| self.spare());
        match (reading, stalled) {
            (Some(one), Some(other)) => Some(one.min(other).2),
            (one, other) => one.or(other).map(|rank| rank.2),
        }
    }
}

/// Returns `at` + `by`, or a time far away if the sum does not fit.
pub(super) fn later(at: Instant, by: Duration) -> Instant {
    at.checked_add(by).unwrap_or_else(|| at + FAR)
}
