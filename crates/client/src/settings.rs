//! Settings of a client, with their defaults.

use std::time::Duration;

use fetchway_policy::RetryPolicy;
use fetchway_wire::v1::Config;

use crate::options::Failover;

/// The encodings that a client offers to its relays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// The binary encoding if the relay supports it, else JSON.
    /// [The crate's documentation](crate#over-json) lists what JSON lacks.
    #[default]
    Auto,
    /// The binary encoding only. A relay that does not support it counts as unreachable.
    Binary,
    /// JSON only, even if the relay supports the binary encoding.
    Json,
}

/// All settings of a client except its relays and their credentials. [`Builder`](crate::Builder)
/// documents each of them.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) encoding: Encoding,
    pub(crate) windows: Config,
    pub(crate) connect_timeout: Duration,
    pub(crate) resume_within: Duration,
    pub(crate) backoff: RetryPolicy,
    pub(crate) ping_every: Duration,
    pub(crate) dead_after: Duration,
    pub(crate) queue: usize,
    pub(crate) queue_wait: Duration,
    pub(crate) failover: Failover,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            encoding: Encoding::Auto,
            windows: Config::default(),
            connect_timeout: Duration::from_secs(10),
            resume_within: Duration::from_secs(30),
            backoff: RetryPolicy {
                retries: u32::MAX,
                base: Duration::from_millis(100),
                max: Duration::from_secs(10),
            },
            ping_every: Duration::from_secs(20),
            dead_after: Duration::from_secs(60),
            queue: 10_000,
            queue_wait: Duration::from_secs(30),
            failover: Failover::Idempotent,
        }
    }
}
