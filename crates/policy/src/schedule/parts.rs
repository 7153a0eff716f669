//! What the schedule is made of, besides gates: plain records and the lists they stand in.

use std::time::Instant;

use super::AccountLimits;
use crate::lane::{LaneConfig, QueueBounds};
use crate::slab::{Linked, Links, List};

/// Which of its two gates a fetch is looked at from; the index into `[_; 2]` fields.
pub(super) const LANE: usize = 0;
pub(super) const ORIGIN: usize = 1;

/// The queue of one flow, in dispatch order.
#[derive(Debug)]
pub(super) struct InFlow;
/// A lane's waiting fetches, by the time at which their wait is over.
#[derive(Debug)]
pub(super) struct InExpiry;
/// The flows of an account at a gate, taken in turn; or the flows in an edge's limbo.
#[derive(Debug)]
pub(super) struct InRing;
/// Members of an account that wait for the account itself.
#[derive(Debug)]
pub(super) struct InParked;
/// All edges of one origin.
#[derive(Debug)]
pub(super) struct OfOrigin;
/// Edges from which a lane may take flows out of limbo.
#[derive(Debug)]
pub(super) struct InSources;

/// Where a fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waiting in the flow with this number.
    Queued(u32),
    /// In progress: it holds a permit of its lane, its origin and its account.
    Held {
        /// Its own reader has stopped.
        paused: bool,
    },
    /// Its wait was over before its turn came; only its ticket is left.
    Expired,
}

/// One fetch, from submission until its ticket is finished.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) state: State,
    /// Its account's members at its lane and at its origin.
    pub(super) members: [u32; 2],
    pub(super) account: u32,
    pub(super) bytes: usize,
    pub(super) again: bool,
    /// When its wait is over, if ever. Set exactly while it stands in its lane's expiry list.
    pub(super) expires: Option<Instant>,
    pub(super) in_flow: Links,
    pub(super) in_expiry: Links,
}

/// Where a flow is registered. It is in exactly one place, and something there holds it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the ring of its member at this gate, which is closed to it (or its account is full).
    At(usize),
    /// In its edge's limbo: its lane or its origin is closed to everybody.
    Limbo,
}

/// The waiting fetches of one (lane, origin, account). It exists while there are any.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) members: [u32; 2],
    pub(super) edge: u32,
    pub(super) queue: List<InFlow>,
    /// The last of the `again` fetches, which all stand in front; or none.
    pub(super) last_again: u32,
    pub(super) place: Place,
    pub(super) links: Links,
}

/// A (lane, origin) with waiting fetches.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) gates: [u32; 2],
    pub(super) flows: usize,
    /// Flows that neither gate has registered. See the module's text for why this exists.
    pub(super) limbo: List<InRing>,
    pub(super) in_sources: bool,
    pub(super) of_origin: Links,
    pub(super) sources: Links,
}

/// How a member stands at its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its ring is empty.
    Idle,
    /// In the gate's order.
    Listed,
    /// Waiting for its account to be below its own limit.
    Parked,
}

/// An account at a gate. It exists while the account has fetches there, waiting or in progress.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) gate: u32,
    pub(super) account: u32,
    pub(super) held: usize,
    pub(super) paused: usize,
    pub(super) queued: usize,
    pub(super) queued_bytes: usize,
    /// The serial number of its last dispatch here, or of its arrival.
    pub(super) served: u64,
    pub(super) ring: List<InRing>,
    pub(super) standing: Standing,
    pub(super) parked: Links,
}

impl Member {
    /// Whether readers of this account have stopped here, so that it may not borrow.
    pub(super) fn stalled(&self) -> bool {
        self.paused > 0
    }
}

/// A lane's queue. Its gate has the same number.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) bounds: QueueBounds,
    pub(super) queued: usize,
    pub(super) queued_bytes: usize,
    pub(super) expiry: List<InExpiry>,
}

impl Lane {
    pub(super) fn new(config: &LaneConfig) -> Self {
        Self {
            bounds: config.queue,
            queued: 0,
            queued_bytes: 0,
            expiry: List::new(),
        }
    }
}

/// An account, over all lanes and origins.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) limits: AccountLimits,
    pub(super) held: usize,
    pub(super) queued: usize,
    pub(super) queued_bytes: usize,
    pub(super) tickets: usize,
    pub(super) closing: bool,
    pub(super) parked: List<InParked>,
}

impl Account {
    /// Whether its own limit of fetches in flight is reached.
    pub(super) fn full(&self) -> bool {
        self.held >= self.limits.in_flight
    }
}

macro_rules! linked {
    ($($entry:ty, $kind:ty, $field:ident;)*) => {
        $(impl Linked<$kind> for $entry {
            fn links(&self) -> Links { self.$field }
            fn links_mut(&mut self) -> &mut Links { &mut self.$field }
        })*
    };
}

linked! {
    Fetch, InFlow, in_flow;
    Fetch, InExpiry, in_expiry;
    Flow, InRing, links;
    Member, InParked, parked;
    Edge, OfOrigin, of_origin;
    Edge, InSources, sources;
}
