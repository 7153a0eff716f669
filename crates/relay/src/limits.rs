//! What one session may ask for. Each limit has a named refusal that leaves the connection open.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fetchway_policy::guard::AddressPolicy;

/// Limits of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fetches dispatched and not yet answered. More wait in the lane's queue.
    pub in_flight: usize,
    /// Fetches waiting for dispatch. More are refused with `queue_full`.
    pub queued: usize,
    /// Bytes of the waiting fetches' URLs, headers and bodies. More are refused with `queue_full`.
    pub queued_bytes: usize,
    /// Bytes of one message from the client. A longer one is skipped and answered `limit_exceeded`.
    pub message: usize,
    /// Bytes of answers read or being read and not yet written. Beyond it the relay stops taking
    /// results from origins until the client has read.
    pub answers: usize,
    /// Time between pings of a quiet connection.
    pub ping_interval: Duration,
    /// A connection that has shown no sign of life for this long (no bytes, no pong) is closed.
    pub idle_timeout: Duration,
    /// A connection that takes none of the bytes waiting for it for this long is closed. While
    /// bytes wait, a missing pong proves nothing: the ping itself may be stuck behind them.
    pub write_stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 10_000,
            queued: 50_000,
            queued_bytes: 64 << 20,
            message: 48 << 20,
            answers: 32 << 20,
            ping_interval: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
            write_stall: Duration::from_secs(120),
        }
    }
}

/// On whose behalf a session runs; the node decides it from the credential.
#[derive(Clone, Debug)]
pub struct Principal {
    /// For logs; never the credential itself.
    pub name: Arc<str>,
    /// What its sessions may ask for.
    pub limits: Limits,
    /// Where its fetches may go.
    pub policy: Arc<AddressPolicy>,
    /// Lanes it may name; none means all that are configured.
    pub lanes: Option<Arc<BTreeSet<String>>>,
}
