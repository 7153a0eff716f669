//! Configuration of an engine: plain data, which the node fills from its own configuration.

use std::net::IpAddr;
use std::time::Duration;

use fetchway_policy::guard::HostPattern;
use fetchway_policy::{LaneConfig, OriginLimits};
use rustls::pki_types::CertificateDer;

/// Name of the lane of fetches that name none.
pub const DEFAULT_LANE: &str = "default";

/// Bounds of the connection pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Maximum number of idle HTTP/1.1 connections to one origin. Further ones are closed.
    pub idle_per_origin: usize,
    /// Maximum number of idle HTTP/1.1 connections to all origins. Further ones are closed.
    pub idle_total: usize,
    /// Time after which an idle connection is closed.
    pub idle_timeout: Duration,
    /// Bytes that one HTTP/2 stream may send before they are read. The window of a connection is this
    /// number times [`MAX_STREAMS`](crate::MAX_STREAMS), so that stalled streams cannot use up the window
    /// of others.
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

/// Configuration of an engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The lanes by name. The index of a lane in this list is its id. One lane must be [`DEFAULT_LANE`].
    pub lanes: Vec<(String, LaneConfig)>,
    /// Limits of origins by host pattern: the first match counts.
    pub origins: Vec<(HostPattern, OriginLimits)>,
    /// Limits of every other origin.
    pub origin_default: OriginLimits,
    /// Longest time for which a `Retry-After` slows an origin.
    pub retry_after_cap: Duration,
    /// Names with fixed addresses. They come before DNS, and are checked like answers of DNS.
    pub hosts: Vec<(String, Vec<IpAddr>)>,
    /// Time for which an answer of DNS is used. A failure is remembered for a tenth of it.
    pub dns_ttl: Duration,
    /// Bounds of the connection pool.
    pub pool: PoolConfig,
    /// Certificates that are trusted in addition to the public roots.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Bytes of whole response bodies in memory, of all accounts together.
    pub body_budget: u64,
    /// Value of `User-Agent` in requests that have none.
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
