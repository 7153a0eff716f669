//! A gate: what a lane and an origin have in common. Permits, a pace, and an order of accounts.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::parts::{InSources, OfOrigin};
use crate::lane::Rate;
use crate::slab::List;

/// How far ahead "never" is put when a configured time passes what an `Instant` can hold.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Permits held here by an account, when it was last served here, and its member's number.
pub(super) type Rank = (usize, u64, u32);

#[derive(Debug)]
pub(super) struct Gate {
    /// `LANE` or `ORIGIN`.
    pub(super) side: usize,
    limit: usize,
    pub(super) held: usize,
    /// Of `held`, those whose own reader has stopped.
    pub(super) paused: usize,
    /// Fetches that wait and need this gate.
    pub(super) waiting: usize,
    interval: Option<Duration>,
    /// No dispatch before: the next slot of the pace, or the end of a Retry-After.
    pub(super) open_at: Option<Instant>,
    /// Somebody has been waiting for the slot `open_at`, so it stays due until it is used.
    pub(super) owed: bool,
    /// It may have opened in the present event and is served before the event ends.
    pub(super) opened: bool,
    /// The timer that is set for this gate.
    pub(super) armed: Option<Instant>,
    /// Accounts with flows registered here: those that read, and those that have stalled.
    ready: [BTreeSet<Rank>; 2],
    /// An origin's edges.
    pub(super) edges: List<OfOrigin>,
    /// A lane's edges with flows in limbo whose origin was open when last looked at.
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

    /// Whether the pace and Retry-After allow a dispatch.
    pub(super) fn due(&self, now: Instant) -> bool {
        self.open_at.is_none_or(|at| at <= now)
    }

    /// Whether a permit is free within the limit.
    pub(super) fn spare(&self) -> bool {
        self.held < self.limit
    }

    /// Whether a permit is free, if need be one lent on account of those that are paused.
    pub(super) fn spare_or_lent(&self) -> bool {
        let lent = self.paused.min(self.limit.div_ceil(8));
        self.held < self.limit.saturating_add(lent)
    }

    /// Whether some account may dispatch.
    pub(super) fn open_any(&self, now: Instant) -> bool {
        self.spare_or_lent() && self.due(now)
    }

    /// Whether an account may dispatch that has stalled here, or has not.
    pub(super) fn open_to(&self, stalled: bool, now: Instant) -> bool {
        (self.spare() || (!stalled && self.spare_or_lent())) && self.due(now)
    }

    /// Whether it will be served in the present event, or when its timer is handled.
    pub(super) fn to_serve(&self, now: Instant) -> bool {
        self.opened || self.armed.is_some_and(|at| at <= now)
    }

    /// Takes a permit and, where there is a pace, its slot.
    pub(super) fn take(&mut self, now: Instant) {
        self.held += 1;
        if let Some(interval) = self.interval {
            // An owed slot keeps to the schedule however late the wake-up was. Otherwise nobody
            // wanted the slots that have passed, and they are gone.
            let slot = match self.open_at {
                Some(at) if self.owed => at,
                Some(at) => at.max(now),
                None => now,
            };
            self.open_at = Some(later(slot, interval));
        }
    }

    /// Enters a member that waits here.
    pub(super) fn list(&mut self, stalled: bool, rank: Rank) {
        self.ready[usize::from(stalled)].insert(rank);
    }

    /// Takes a member out of the order.
    pub(super) fn unlist(&mut self, stalled: bool, rank: Rank) {
        let present = self.ready[usize::from(stalled)].remove(&rank);
        debug_assert!(present, "a listed member stands under its present rank");
    }

    /// The member to serve next: fewest permits here, then the longest not served.
    pub(super) fn best(&self) -> Option<u32> {
        let reading = self.ready[0].first();
        let stalled = self.ready[1].first().filter(|_| self.spare());
        match (reading, stalled) {
            (Some(one), Some(other)) => Some(one.min(other).2),
            (one, other) => one.or(other).map(|rank| rank.2),
        }
    }
}

/// `at` + `by`, or something far away where that cannot be written.
pub(super) fn later(at: Instant, by: Duration) -> Instant {
    at.checked_add(by).unwrap_or_else(|| at + FAR)
}
