//! What one session may ask for. Each limit has a named refusal that leaves the connection open.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fetchway_fetch::{Account, AccountConfig, AccountLimits, Engine};
use fetchway_policy::guard::AddressPolicy;
use fetchway_policy::{ErrorName, FetchError};

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
    /// What a session of the binary encoding has beside.
    pub binary: BinaryLimits,
}

/// Limits of the binary encoding: `docs/protocol.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinaryLimits {
    /// Bytes of request bodies received and not yet taken by origins, of all streams.
    pub session_window: usize,
    /// The same of one stream.
    pub stream_window: usize,
    /// Bytes sent and not yet acknowledged; beyond them sending waits.
    pub unacked: usize,
    /// How long a session outlives its socket; zero for not at all.
    pub resume_within: Duration,
    /// Sessions without a socket, of one credential. Beyond it the oldest ends.
    pub parked: usize,
    /// Bytes that they hold for their clients. Beyond it the oldest ends.
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

impl Principal {
    /// Opens an account for fetches on the principal's behalf, within `limits`.
    #[must_use]
    pub fn account(&self, engine: &Engine, limits: AccountLimits) -> Account {
        let bodies = self.limits.answers as u64;
        let network = engine.network(&self.policy);
        Account::open(engine, network, AccountConfig { limits, bodies })
    }

    /// The lane of this name, or the default one, if it is open to the client.
    ///
    /// # Errors
    /// `invalid_request` for a lane that there is not, `http_request_denied` for one that is not open
    /// to it.
    pub fn lane(&self, engine: &Engine, name: Option<&str>) -> Result<usize, FetchError> {
        let lane = engine.lane(name)?;
        let named = name.unwrap_or(fetchway_fetch::DEFAULT_LANE);
        match &self.lanes {
            Some(allowed) if !allowed.contains(named) => {
                let detail = format!("The lane {named:?} is not open to this token.");
                Err(FetchError::new(ErrorName::HttpRequestDenied, detail))
            }
            _ => Ok(lane),
        }
    }
}

/// No new fetch is begun any more.
pub(crate) fn leaving() -> FetchError {
    let detail = "This node is shutting down and takes no new fetches: send it to another.";
    FetchError::new(ErrorName::DestinationUnavailable, detail)
}

/// As many fetches are under way as may be.
pub(crate) fn too_many() -> FetchError {
    let detail =
        "The session has as many fetches in flight and queued as it may: wait for answers.";
    FetchError::new(ErrorName::QueueFull, detail)
}
