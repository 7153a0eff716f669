//! The schedule: a pure machine that decides which fetch may start now, by lanes, origins and accounts.
//!
//! A fetch starts when its lane and its origin both have a permit and are both due, and its
//! account is below its own limit. It holds the permits until its ticket is finished. No permit is
//! held while waiting for another, so a full origin never blocks a lane, nor a slow lane an origin.
//!
//! # Fairness
//!
//! Lanes and origins are *gates*. The permit that frees at a gate goes to the eligible account
//! that holds the fewest permits there, and among equals to the one not served for longest. Within
//! an account its open flows take turns; a flow is one (lane, origin, account), first in first out,
//! with hops and retries (`repeated`) in front. Places in a lane's queue: after each submission an
//! account's share is at most what is left free, so one account takes at most half; an account
//! without a place gets one as long as any is free.
//!
//! The limit of a gate is strict, with one exception. Permits held by *paused* fetches (their own
//! reader has stopped) are lent: as many as are paused, and at most an eighth of the limit (rounded
//! up), are given beyond the limit to accounts without a paused fetch at that gate. So a stalled
//! reader that holds every permit stops nobody. When the reader continues, nothing more is given
//! until the gate is within its limit again. Borrowers that stall too can use the loan up.
//!
//! A fetch whose lane and origin are both saturated by others waits for a moment in which both are
//! free; nothing is reserved for it. The bound is its queue wait.
//!
//! # How it stays fast
//!
//! Every waiting flow is registered in one place, and something there holds it back:
//!
//! ```text
//!            ┌── the ring of its account at its lane    (the lane is closed to it)
//!   flow ────┼── the ring of its account at its origin  (the origin is closed to it)
//!            └── the limbo of its (lane, origin)        (one of the two is closed to all)
//! ```
//!
//! A member (account at a gate) whose account is full stands with its whole ring in the account's
//! parked list instead of the gate's order. A gate that opens serves its order; a flow found
//! blocked elsewhere goes to limbo, and a gate takes only a few flows out of limbo per dispatch.
//! Without limbo, thousands of flows would wander between a lane and an origin that open in turn.
//! With it, what a gate looks at is paid for by what it took, so work per event is logarithmic on
//! average. The price: with both gates short in turn, fairness is exact among the flows taken, and
//! the others follow in the order in which they were put aside. Where a lane and an origin open at
//! the same moment, the first of either order compete.
//!
//! Read `parts` and `gate`, then `admit`, `dispatch`, `leave`, `clock`.

mod admit;
mod clock;
mod dispatch;
mod gate;
mod leave;
mod parts;
#[cfg(test)]
mod tests;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::Instant;

use crate::error::FetchError;
pub use crate::lane::AccountLimits;
use crate::lane::{LaneConfig, OriginLimits};
use crate::slab::{List, Slab};
use gate::Gate;
use parts::{Account, Edge, Fetch, Flow, LANE, Lane, Member, ORIGIN};

/// An origin that the schedule knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OriginId {
    slot: u32,
    generation: u32,
}

/// An account that the schedule knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccountId {
    slot: u32,
    generation: u32,
}

/// A fetch, from its submission until [`Schedule::finish`]: first a waiter, then a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    slot: u32,
    generation: u32,
}

/// A fetch that asks to start.
#[derive(Clone, Copy, Debug)]
pub struct Submission {
    /// Index of the lane in the list given to [`Schedule::new`].
    pub lane: usize,
    /// Origin of the fetch.
    pub origin: OriginId,
    /// Owner of the fetch.
    pub account: AccountId,
    /// Bytes that the fetch keeps in memory while it waits.
    pub bytes: usize,
    /// Set for a redirect hop or a retry of a fetch that was admitted before. It is never refused because
    /// of a full queue, and is queued in front of its flow.
    pub repeated: bool,
}

/// The answer to a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// The fetch starts now.
    Granted(Ticket),
    /// The fetch waits. An [`Event`] will follow.
    Queued(Ticket),
    /// There is no room for the fetch, or one of its ids is unknown. There is no ticket to finish.
    Refused(FetchError),
}

/// The end of the wait of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The fetch starts now.
    Granted(Ticket),
    /// The queue wait has ended before the fetch could start (`queue_timeout`). The ticket must still be
    /// finished.
    Expired(Ticket),
}

/// State of a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Permits held.
    pub in_flight: usize,
    /// Permits of fetches whose own reader has stopped, which are a part of `in_flight`.
    pub paused: usize,
    /// Fetches waiting.
    pub queued: usize,
    /// Bytes of waiting requests.
    pub queued_bytes: usize,
}

/// State of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountStats {
    /// Fetches in flight.
    pub in_flight: usize,
    /// Fetches waiting.
    pub queued: usize,
    /// Bytes of waiting requests.
    pub queued_bytes: usize,
}

/// Map from pairs of entry numbers to an entry number. The keys do not come from outside, so the hash needs
/// no seed.
type Index = HashMap<(u32, u32), u32, BuildHasherDefault<DefaultHasher>>;

/// The machine. Its times should not go back; a time that does counts as the latest one before.
#[derive(Debug)]
pub struct Schedule {
    lanes: Vec<Lane>,
    /// The gates of the lanes first, under the numbers of their lanes, then those of the origins.
    gates: Slab<Gate>,
    accounts: Slab<Account>,
    members: Slab<Member>,
    flows: Slab<Flow>,
    edges: Slab<Edge>,
    fetches: Slab<Fetch>,
    /// (gate, account) to member.
    member_of: Index,
    /// (member at the lane, member at the origin) to flow.
    flow_of: Index,
    /// (lane's gate, origin's gate) to edge.
    edge_of: Index,
    /// Gates for which a fetch waits and which time will open.
    timers: BTreeSet<(Instant, u32)>,
    /// Nothing is due before this time, which may be too early.
    wake: Option<Instant>,
    /// The latest time so far.
    now: Option<Instant>,
    events: VecDeque<Event>,
    /// Counts dispatches and arrivals.
    serial: u64,
    /// Number of flows and members visited, which the tests of scale bound.
    #[cfg(test)]
    steps: u64,
}

impl Schedule {
    /// Returns a schedule with these lanes, and no origins or accounts yet.
    #[must_use]
    pub fn new(lanes: &[LaneConfig]) -> Self {
        let mut gates = Slab::new();
        for lane in lanes {
            gates.insert(Gate::new(LANE, lane.concurrency, lane.rate));
        }
        Self {
            lanes: lanes.iter().map(Lane::new).collect(),
            gates,
            accounts: Slab::new(),
            members: Slab::new(),
            flows: Slab::new(),
            edges: Slab::new(),
            fetches: Slab::new(),
            member_of: Index::default(),
            flow_of: Index::default(),
            edge_of: Index::default(),
            timers: BTreeSet::new(),
            wake: None,
            now: None,
            events: VecDeque::new(),
            serial: 0,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Adds an origin. The caller keeps the map from names to ids, and forgets idle origins with
    /// [`Self::forget_origin`]; an origin that is never forgotten stays in memory.
    pub fn origin(&mut self, limits: OriginLimits) -> OriginId {
        let gate = Gate::new(ORIGIN, limits.concurrency, limits.rate);
        let slot = self.gates.insert(gate);
        OriginId {
            slot,
            generation: self.gates.generation(slot),
        }
    }

    /// Removes an origin that has no fetch, no future slot and no Retry-After. Returns true if the origin
    /// is gone, whose id must then not be used again. For a sweep under the lock of the map of names:
    /// `map.retain(|_, id| !schedule.forget_origin(*id, now))`.
    pub fn forget_origin(&mut self, origin: OriginId, now: Instant) -> bool {
        if !self.knows_origin(origin) {
            return true;
        }
        let gate = &self.gates[origin.slot];
        let idle = gate.held == 0 && gate.waiting == 0 && gate.due(now);
        if idle {
            self.gates.remove(origin.slot);
        }
        idle
    }

    /// Number of known origins, idle ones included.
    #[must_use]
    pub fn origins(&self) -> usize {
        self.gates.len() - self.lanes.len()
    }

    /// Adds an account.
    pub fn open_account(&mut self, limits: AccountLimits) -> AccountId {
        let slot = self.accounts.insert(Account {
            limits,
            held: 0,
            queued: 0,
            queued_bytes: 0,
            tickets: 0,
            closing: false,
            parked: List::new(),
        });
        AccountId {
            slot,
            generation: self.accounts.generation(slot),
        }
    }

    /// Ends an account: nothing more is admitted, and the account is removed with its last ticket.
    pub fn close_account(&mut self, account: AccountId) {
        if !self.knows_account(account) {
            return;
        }
        self.accounts[account.slot].closing = true;
        self.drop_closed_account(account.slot);
    }

    /// Returns the next event of a waiting fetch whose ticket is not finished yet.
    pub fn next_event(&mut self) -> Option<Event> {
        while let Some(event) = self.events.pop_front() {
            let (Event::Granted(ticket) | Event::Expired(ticket)) = event;
            if self.fetches.holds(ticket.slot, ticket.generation) {
                return Some(event);
            }
        }
        None
    }

    /// State of lane number `lane`; zeros if the lane does not exist.
    #[must_use]
    pub fn lane_stats(&self, lane: usize) -> LaneStats {
        let Some((at, queue)) = (0u32..).zip(&self.lanes).nth(lane) else {
            return LaneStats::default();
        };
        LaneStats {
            in_flight: self.gates[at].held,
            paused: self.gates[at].paused,
            queued: queue.queued,
            queued_bytes: queue.queued_bytes,
        }
    }

    /// State of an account; zeros if the account is gone.
    #[must_use]
    pub fn account_stats(&self, account: AccountId) -> AccountStats {
        if !self.knows_account(account) {
            return AccountStats::default();
        }
        let account = &self.accounts[account.slot];
        AccountStats {
            in_flight: account.held,
            queued: account.queued,
            queued_bytes: account.queued_bytes,
        }
    }

    fn knows_origin(&self, origin: OriginId) -> bool {
        self.gates.holds(origin.slot, origin.generation)
    }

    fn knows_account(&self, account: AccountId) -> bool {
        self.accounts.holds(account.slot, account.generation)
    }

    /// Counts one step of work, in tests.
    fn step(&mut self) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
    }
}
