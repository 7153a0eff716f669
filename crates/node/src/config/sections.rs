//! The tables of the configuration that stand alone.

use std::path::PathBuf;
use std::time::Duration;

use fetchway_fetch::{EngineConfig, PoolConfig};
use fetchway_policy::guard::{HostPattern, IpNet};
use fetchway_policy::units::Size;

use super::bounds::{at_least, some, some_time, within};
use super::setting::{choice_settings, section};
use super::{ListenAddr, Ports, Secret};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// At least one frame of the default size; at most the limit of RFC 9113 section 6.9.1.
const H2_WINDOW: std::ops::RangeInclusive<u64> = (16 * KIB)..=((1 << 31) - 1);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

section! {
    /// `[tls]`: PEM files of a listener, read again on SIGHUP. Both or neither.
    pub struct TlsSection {
        /// The certificate chain, the listener's own certificate first. Empty: no TLS.
        cert: PathBuf = PathBuf::new();
        /// The private key.
        key: PathBuf = PathBuf::new();
    }
}

impl TlsSection {
    /// Returns true if the listener uses TLS.
    #[must_use]
    pub fn enabled(&self) -> bool {
        !self.cert.as_os_str().is_empty() && !self.key.as_os_str().is_empty()
    }
}

section! {
    /// `[http]`: bounds of plain HTTP on all listeners. Sessions have bounds of their own.
    pub struct HttpSection {
        /// Connections of one listener that are not (yet) sessions. Further ones wait to be accepted.
        max_connections: usize = 4_096, some;
        /// Time for a request's header to arrive, and for an idle connection to send the next request. Then
        /// the connection is closed.
        header_timeout: Duration = seconds(30), some_time;
        /// Time for a TLS handshake. Then the connection is closed.
        handshake_timeout: Duration = seconds(10), some_time;
    }
}

section! {
    /// `[admin]`: the listener of metrics, health and profiles.
    pub struct AdminSection {
        /// Set if there is an admin listener.
        enabled: bool = true;
        /// Address of the listener. Beyond loopback only with a token.
        listen: ListenAddr = ListenAddr(([127, 0, 0, 1], 9787).into());
        /// Required by every route but `/health` and `/ready`. Empty: none.
        token: Secret = Secret::default();
        /// A file that holds the token instead. Empty: none.
        token_file: PathBuf = PathBuf::new();
        /// TLS of this listener.
        tls: TlsSection = TlsSection::default();
    }
}

section! {
    /// `[guard]`: addresses that fetches may reach, for all clients. Private and special addresses are refused
    /// unless allowed here or for a token.
    pub struct GuardSection {
        /// Address ranges exempt from the built-in refusal.
        allow_net: Vec<IpNet> = Vec::new();
        /// Address ranges refused whatever else is allowed.
        deny_net: Vec<IpNet> = Vec::new();
        /// If not empty, the only hosts.
        allow_hosts: Vec<HostPattern> = Vec::new();
        /// Hosts refused whatever else is allowed.
        deny_hosts: Vec<HostPattern> = Vec::new();
        /// If not empty, the only ports.
        allow_ports: Vec<Ports> = Vec::new();
        /// Ports refused whatever else is allowed.
        deny_ports: Vec<Ports> = Vec::new();
    }
}

section! {
    /// `[fetch]`: the engine. The defaults are the engine's own.
    pub struct FetchSection {
        /// PEM file of certificates trusted beside the public roots. Empty: none.
        ca_file: PathBuf = PathBuf::new();
        /// Time for which a DNS answer is used.
        dns_ttl: Duration = EngineConfig::default().dns_ttl, some_time;
        /// Longest time that a `Retry-After` may slow its origin.
        retry_after_cap: Duration = EngineConfig::default().retry_after_cap;
        /// Memory for whole response bodies, of all sessions together. Beyond it the engine stops reading
        /// from origins.
        body_budget: Size = Size(EngineConfig::default().body_budget), at_least(MIB);
        /// Idle HTTP/1.1 connections kept for one origin. A further one is closed.
        idle_per_origin: usize = PoolConfig::default().idle_per_origin;
        /// Idle HTTP/1.1 connections kept in all. A further one is closed.
        idle_total: usize = PoolConfig::default().idle_total;
        /// Time after which an idle connection is closed.
        idle_timeout: Duration = PoolConfig::default().idle_timeout, some_time;
        /// Bytes that one HTTP/2 stream may send before they are read. 16KiB to 2GiB less a byte.
        h2_stream_window: Size = Size(PoolConfig::default().h2_stream_window.into()), within(H2_WINDOW);
        /// `User-Agent` of requests that have none.
        user_agent: String = EngineConfig::default().user_agent, header_value;
    }
}

fn header_value(text: &str) -> Option<String> {
    let valid = http::HeaderValue::from_str(text).is_ok();
    (!valid).then(|| "expected text that is valid in an HTTP header".to_owned())
}

section! {
    /// `[batch]`: batches that clients have run here, over sessions and over HTTP.
    pub struct BatchSection {
        /// Batches at once of one token, or of all clients without one. Further ones are refused with 429.
        max_at_once: usize = 4, some;
        /// Fetches of one batch in flight. A batch that asks for more is refused with 400.
        max_concurrency: usize = 1_024, some;
        /// Bytes of outcomes held back for their order. Beyond it the batch ends with `limit_exceeded`.
        max_held: Size = Size(64 * MIB), at_least(64 * KIB);
        /// Bytes of items over HTTP that wait for the batch. More are refused.
        spool: Size = Size(256 * MIB);
        /// The part of `spool` that is kept in memory; the rest is in a file.
        spool_memory: Size = Size(MIB);
        /// The folder for that file. Empty: the system's folder for temporary files.
        spool_dir: PathBuf = PathBuf::new();
        /// Time after which a batch over HTTP ends if its client sends no items while all are answered, or
        /// takes no outcomes.
        idle_timeout: Duration = seconds(120), some_time;
    }
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The least important messages that are still logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Something does not work.
    Error,
    /// Something may soon not work.
    Warn,
    /// The life of the node and its sessions.
    #[default]
    Info,
    /// Single requests, query strings among them.
    Debug,
    /// Everything.
    Trace,
}

choice_settings! {
    LogFormat { "text" = Text, "json" = Json, }
    LogLevel { "error" = Error, "warn" = Warn, "info" = Info, "debug" = Debug, "trace" = Trace, }
}

section! {
    /// `[log]`: logs, written to standard error.
    pub struct LogSection {
        /// Text or JSON.
        format: LogFormat = LogFormat::Text;
        /// The least important messages that are logged.
        level: LogLevel = LogLevel::Info;
    }
}

section! {
    /// `[shutdown]`: the end of the node.
    pub struct ShutdownSection {
        /// Time that fetches in flight have after SIGTERM or SIGINT. Then they are cut off without an answer,
        /// and sessions are closed with 1001.
        grace: Duration = seconds(30);
    }
}
