//! The observer of the engine: a narrow trait, which the node's metrics implement.

use std::time::Duration;

use fetchway_policy::ErrorName;

/// The end of a fetch: the status of the response, or the name of the error.
pub type Outcome = Result<http::StatusCode, ErrorName>;

/// Bytes of the bodies of one fetch, as they were on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Request body bytes given to the origin's connection.
    pub sent: u64,
    /// Response body bytes received, before decoding.
    pub received: u64,
}

/// Observer of fetches and connections. Calls come from hot paths: implementations must not block.
///
/// `lane` is the index of the lane in the engine's configuration.
pub trait Observer: Send + Sync + 'static {
    /// A fetch was accepted. Exactly one `fetch_ended` follows.
    fn fetch_started(&self, lane: usize);
    /// A fetch has ended: its body was read to the end, it failed, or it was dropped (`cancelled`).
    /// `took` runs from `fetch_started`, time in the queue included.
    fn fetch_ended(&self, lane: usize, outcome: Outcome, took: Duration, moved: Moved);
    /// A connection to an origin was opened.
    fn connection_opened(&self);
    /// A connection to an origin has ended.
    fn connection_closed(&self);
}

/// An observer that ignores every call.
#[derive(Debug)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn fetch_started(&self, _: usize) {}
    fn fetch_ended(&self, _: usize, _: Outcome, _: Duration, _: Moved) {}
    fn connection_opened(&self) {}
    fn connection_closed(&self) {}
}
