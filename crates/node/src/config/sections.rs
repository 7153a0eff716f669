//! The tables of the configuration that stand alone.

use std::path::PathBuf;
use std::time::Duration;

use fetchway_fetch::{EngineConfig, PoolConfig};
use fetchway_policy::guard::{HostPattern, IpNet};
use serde::{Deserialize, Serialize};

use super::{Dur, ListenAddr, Ports, Secret, Size, Text};

/// `[tls]`: PEM files of a listener, read again on SIGHUP. Both or neither.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct TlsSection {
    /// The certificate chain, the listener's own certificate first. Empty: no TLS.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl TlsSection {
    /// Whether the listener speaks TLS.
    #[must_use]
    pub fn enabled(&self) -> bool {
        !self.cert.as_os_str().is_empty() && !self.key.as_os_str().is_empty()
    }
}

/// `[http]`: bounds of plain HTTP on both listeners. Sessions have bounds of their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct HttpSection {
    /// Connections of one listener that are not (yet) sessions. Further ones wait unaccepted.
    pub max_connections: usize,
    /// Time for a request's header to arrive, and for an idle connection to send the next. Then the
    /// connection is closed.
    pub header_timeout: Text<Dur>,
    /// Time for a TLS handshake. Then the connection is closed.
    pub handshake_timeout: Text<Dur>,
}

impl Default for HttpSection {
    fn default() -> Self {
        Self {
            max_connections: 4_096,
            header_timeout: Text(Dur(Duration::from_secs(30))),
            handshake_timeout: Text(Dur(Duration::from_secs(10))),
        }
    }
}

/// `[admin]`: the listener of metrics, health and profiles.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct AdminSection {
    /// Whether there is one.
    pub enabled: bool,
    /// Where it listens. Beyond loopback only with a token.
    pub listen: Text<ListenAddr>,
    /// Asked for by every route but `/health` and `/ready`. Empty: none.
    pub token: Secret,
    /// A file that holds the token instead. Empty: none.
    pub token_file: PathBuf,
    /// TLS of this listener.
    pub tls: TlsSection,
}

impl Default for AdminSection {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: Text(ListenAddr(([127, 0, 0, 1], 9787).into())),
            token: Secret::default(),
            token_file: PathBuf::new(),
            tls: TlsSection::default(),
        }
    }
}

/// `[guard]`: where fetches may go, whoever asks. Private and special addresses are refused unless
/// allowed here or for a token.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct GuardSection {
    /// Address ranges exempt from the built-in refusal.
    pub allow_net: Vec<Text<IpNet>>,
    /// Address ranges refused whatever else is allowed.
    pub deny_net: Vec<Text<IpNet>>,
    /// If not empty, the only hosts.
    pub allow_hosts: Vec<Text<HostPattern>>,
    /// Hosts refused whatever else is allowed.
    pub deny_hosts: Vec<Text<HostPattern>>,
    /// If not empty, the only ports.
    pub allow_ports: Vec<Ports>,
    /// Ports refused whatever else is allowed.
    pub deny_ports: Vec<Ports>,
}

/// `[fetch]`: the engine. Its defaults are the engine's own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct FetchSection {
    /// PEM file of certificates trusted beside the public roots. Empty: none.
    pub ca_file: PathBuf,
    /// How long a DNS answer is used.
    pub dns_ttl: Text<Dur>,
    /// The longest that a `Retry-After` may slow its origin.
    pub retry_after_cap: Text<Dur>,
    /// Memory for whole response bodies, of all sessions together. Beyond it the engine stops
    /// reading from origins.
    pub body_budget: Text<Size>,
    /// Idle HTTP/1.1 connections kept for one origin. A further one is closed.
    pub idle_per_origin: usize,
    /// Idle HTTP/1.1 connections kept in all. A further one is closed.
    pub idle_total: usize,
    /// A connection idle for longer is closed.
    pub idle_timeout: Text<Dur>,
    /// Bytes that one HTTP/2 stream may send before they are read: 16KiB to 2GiB less one byte.
    pub h2_stream_window: Text<Size>,
    /// Sent where a request has no `User-Agent`.
    pub user_agent: String,
}

impl Default for FetchSection {
    fn default() -> Self {
        let engine = EngineConfig::default();
        let PoolConfig {
            idle_per_origin,
            idle_total,
            idle_timeout,
            h2_stream_window,
        } = engine.pool;
        Self {
            ca_file: PathBuf::new(),
            dns_ttl: Text(Dur(engine.dns_ttl)),
            retry_after_cap: Text(Dur(engine.retry_after_cap)),
            body_budget: Text(Size(engine.body_budget)),
            idle_per_origin,
            idle_total,
            idle_timeout: Text(Dur(idle_timeout)),
            h2_stream_window: Text(Size(h2_stream_window.into())),
            user_agent: engine.user_agent,
        }
    }
}

/// `[batch]`: batches that clients have run here, over sessions and over HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct BatchSection {
    /// Batches at once of one token, or of all who come without. Further ones are refused with 429.
    pub max_at_once: usize,
    /// Fetches of one batch under way. One that asks for more is refused with 400.
    pub max_concurrency: usize,
    /// Bytes of outcomes held back for their order. Beyond it the batch ends with `limit_exceeded`.
    pub max_held: Text<Size>,
    /// Bytes of items over HTTP that wait for the batch. More are refused.
    pub spool: Text<Size>,
    /// Of them, those in memory; the others are in a file.
    pub spool_memory: Text<Size>,
    /// The folder for that file. Empty: the system's for temporary files.
    pub spool_dir: PathBuf,
    /// A client over HTTP that sends nothing for this long when all is answered has its batch ended; one
    /// that takes nothing is cut off.
    pub idle_timeout: Text<Dur>,
}

impl Default for BatchSection {
    fn default() -> Self {
        Self {
            max_at_once: 4,
            max_concurrency: 1_024,
            max_held: Text(Size(64 << 20)),
            spool: Text(Size(256 << 20)),
            spool_memory: Text(Size(1 << 20)),
            spool_dir: PathBuf::new(),
            idle_timeout: Text(Dur(Duration::from_secs(120))),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The least important messages that are still logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

/// `[log]`: logs, written to standard error.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct LogSection {
    /// Text or JSON.
    pub format: LogFormat,
    /// How much.
    pub level: LogLevel,
}

/// `[shutdown]`: how the node ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct ShutdownSection {
    /// How long fetches in flight may go on after SIGTERM or SIGINT. Then they are cut off without an
    /// answer, and sessions are closed with 1001.
    pub grace: Text<Dur>,
}

impl Default for ShutdownSection {
    fn default() -> Self {
        Self {
            grace: Text(Dur(Duration::from_secs(30))),
        }
    }
}
