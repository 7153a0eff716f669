//! The parts of the schedule besides gates: plain records, and the lists that contain them.

use std::time::Instant;

use crate::lane::{AccountLimits, LaneConfig, QueueBounds};
use crate::slab::{Linked, Links, List};

/// Index of one of the two gates of a fetch in fields of type `[_; 2]`.
pub(super) const LANE: usize = 0;
pub(super) const ORIGIN: usize = 1;

/// The queue of one flow, in dispatch order.
#[derive(Debug)]
pub(super) struct InFlow;
/// The waiting fetches of a lane, by the end of their wait.
#[derive(Debug)]
pub(super) struct InExpiry;
/// The flows of an account at a gate, which take turns; or the flows in an edge's limbo.
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

/// State of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waiting in the flow with this number.
    Queued(u32),
    /// In progress: it holds a permit of its lane, its origin and its account.
    Held {
        /// Set if the fetch's own reader has stopped.
        paused: bool,
    },
    /// The wait has ended before the fetch could start. Only the ticket is left.
    Expired,
}

/// One fetch, from submission until its ticket is finished.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) state: State,
    /// Members of the fetch's account at its lane and at its origin.
    pub(super) members: [u32; 2],
    pub(super) account: u32,
    pub(super) bytes: usize,
    pub(super) repeated: bool,
    /// End of the wait, if there is one. Set exactly while the fetch is in its lane's expiry list.
    pub(super) expires: Option<Instant>,
    pub(super) in_flow: Links,
    pub(super) in_expiry: Links,
}

/// Place at which a flow is registered. A flow has exactly one place, where something holds it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the ring of its member at this gate, which is closed to it. (Or its account is full.)
    At(usize),
    /// In the limbo of its edge: its lane or its origin is closed to all accounts.
    Limbo,
}

/// The waiting fetches of one (lane, origin, account). A flow exists while it has any.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) members: [u32; 2],
    pub(super) edge: u32,
    pub(super) queue: List<InFlow>,
    /// The last of the repeated fetches, which come before all others; or none.
    pub(super) last_repeated: u32,
    pub(super) place: Place,
    pub(super) links: Links,
}

/// A (lane, origin) with waiting fetches.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) gates: [u32; 2],
    pub(super) flows: usize,
    /// Flows that neither gate has registered. The text of the module says why limbo exists.
    pub(super) limbo: List<InRing>,
    pub(super) in_sources: bool,
    pub(super) of_origin: Links,
    pub(super) sources: Links,
}

/// Standing of a member at its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The ring of the member is empty.
    Idle,
    /// In the gate's order.
    Listed,
    /// Waiting until its account is below its own limit.
    Parked,
}

/// An account at a gate. A member exists while the account has fetches there, waiting or in progress.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) gate: u32,
    pub(super) account: u32,
    pub(super) held: usize,
    pub(super) paused: usize,
    pub(super) queued: usize,
    pub(super) queued_bytes: usize,
    /// Serial number of the member's last dispatch here, or of its arrival.
    pub(super) served: u64,
    pub(super) ring: List<InRing>,
    pub(super) standing: Standing,
    pub(super) parked: Links,
}

impl Member {
    /// Returns true if readers of this account have stopped here, so that it may not borrow.
    pub(super) fn stalled(&self) -> bool {
        self.paused > 0
    }
}

/// The queue of a lane. Its gate has the same number.
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
    /// Returns true if the account's limit of fetches in flight is reached.
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
