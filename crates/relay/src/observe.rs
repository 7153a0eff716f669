//! What the relay tells whoever counts.

/// Hears of sessions. Calls come from hot paths: implementations must not block.
pub trait SessionObserver: Send + Sync + 'static {
    /// A session has begun; exactly one `session_closed` follows.
    fn session_opened(&self);
    /// It has ended, and why: the `client` closed, is `gone`, was `idle` for too long, `stalled`
    /// (took nothing for too long), broke the `protocol`; this node is leaving (`shutdown`); or its
    /// time without a socket has `expired`, or it was `evicted` as too much was without one.
    fn session_closed(&self, why: &'static str);
    /// A session that would be one too many of its credential was refused.
    fn session_refused(&self);
    /// Bytes received from clients.
    fn bytes_in(&self, n: u64);
    /// Bytes sent to clients.
    fn bytes_out(&self, n: u64);
}

/// Counts nothing.
#[derive(Debug)]
pub struct NoSessionObserver;

impl SessionObserver for NoSessionObserver {
    fn session_opened(&self) {}
    fn session_closed(&self, _: &'static str) {}
    fn session_refused(&self) {}
    fn bytes_in(&self, _: u64) {}
    fn bytes_out(&self, _: u64) {}
}
