//! What an engine is built from. Plain data; the node reads it from its configuration.

use std::net::IpAddr;
use std::time::Duration;

use fetchway_policy::guard::HostPattern;
use fetchway_policy::{LaneConfig, OriginLimits};
use rustls::pki_types::CertificateDer;

/// The name of the lane that a fetch travels in when it names none.
pub const DEFAULT_LANE: &str = "default";

/// Bounds of the connection pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Idle HTTP/1.1 connections kept for one origin. A further one is closed.
    pub idle_per_origin: usize,
    /// Idle HTTP/1.1 connections kept in all. A further one is closed.
    pub idle_total: usize,
    /// A connection idle for longer is closed.
    pub idle_timeout: Duration,
    /// Bytes that one HTTP/2 stream may send unread. The connection's window is this times
    /// [`MAX_STREAMS`](crate::MAX_STREAMS), so that stalled streams can't use up what others need.
    pub h2_stream_window: u32,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            idle_per_origin: 1_024,
            idle_total: 8_192,
            idle_timeout: Duration::from_secs(60),
            h2_stream_window: 128 << 10,
        }
    }
}

/// What an engine is built from.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The lanes by name; a lane's index here is its id. One must be [`DEFAULT_LANE`].
    pub lanes: Vec<(String, LaneConfig)>,
    /// Limits of origins by host pattern: the first match counts.
    pub origins: Vec<(HostPattern, OriginLimits)>,
    /// Limits of every other origin.
    pub origin_default: OriginLimits,
    /// The longest that a `Retry-After` may slow an origin.
    pub retry_after_cap: Duration,
    /// Names with fixed addresses, asked before DNS and vetted like its answers.
    pub hosts: Vec<(String, Vec<IpAddr>)>,
    /// How long a DNS answer is used. A failure is remembered for a tenth of it.
    pub dns_ttl: Duration,
    /// Connections.
    pub pool: PoolConfig,
    /// Certificates trusted beside the public roots.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Bytes of whole response bodies in memory, of all accounts together.
    pub body_budget: u64,
    /// Sent where a request has no `User-Agent`.
    pub user_agent: String,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            lanes: vec![(DEFAULT_LANE.to_owned(), LaneConfig::default())],
            origins: Vec::new(),
            origin_default: OriginLimits::default(),
            retry_after_cap: Duration::from_secs(60),
            hosts: Vec::new(),
            dns_ttl: Duration::from_secs(30),
            pool: PoolConfig::default(),
            extra_roots: Vec::new(),
            body_budget: 256 << 20,
            user_agent: concat!("fetchway/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
