//! Limits of one session. Each has a named refusal that leaves the connection open.

use std::time::Duration;

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
    /// Further limits of a session in the binary encoding.
    pub binary: BinaryLimits,
}

/// Limits of the binary encoding: `docs/protocol.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinaryLimits {
    /// Bytes of request bodies received and not yet taken by origins, of all streams.
    pub session_window: usize,
    /// Bytes of request bodies received and not yet taken by origins, of one stream.
    pub stream_window: usize,
    /// Bytes sent and not yet acknowledged; beyond them sending waits.
    pub unacked: usize,
    /// How long a session outlives its socket; zero means not at all.
    pub resume_within: Duration,
    /// Sessions without a socket, of one credential. Beyond it the oldest ends.
    pub parked: usize,
    /// Bytes that sessions without a socket, of one credential, hold for their clients. Beyond it the
    /// oldest ends.
    pub parked_bytes: usize,
}

impl Default for BinaryLimits {
    fn default() -> Self {
        Self {
            session_window: 4 << 20,
            stream_window: 256 << 10,
            unacked: 1 << 20,
            resume_within: Duration::from_secs(60),
            parked: 1_000,
            parked_bytes: 64 << 20,
        }
    }
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
            binary: BinaryLimits::default(),
        }
    }
}
