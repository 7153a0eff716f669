//! The observer of sessions, for metrics.

use crate::ending::EndReason;

/// Observer of sessions. Calls come from hot paths: implementations must not block.
pub trait SessionObserver: Send + Sync + 'static {
    /// A session has begun; exactly one `session_closed` follows.
    fn session_opened(&self);
    /// A session has ended.
    fn session_closed(&self, reason: EndReason);
    /// A session was refused, as its credential has as many as it may.
    fn session_refused(&self);
    /// Bytes received from clients.
    fn bytes_in(&self, n: u64);
    /// Bytes sent to clients.
    fn bytes_out(&self, n: u64);
}

/// An observer that ignores every call.
#[derive(Debug)]
pub struct NoSessionObserver;

impl SessionObserver for NoSessionObserver {
    fn session_opened(&self) {}
    fn session_closed(&self, _: EndReason) {}
    fn session_refused(&self) {}
    fn bytes_in(&self, _: u64) {}
    fn bytes_out(&self, _: u64) {}
}
