//! The configuration of a node: a TOML file, the environment, flags; the later wins.
//!
//! Read `mod` (the keys), `sections`, `lanes`, `sessions` and `gateways` (the tables below them), then
//! `layers` and `merge` (how sources come together), `explain` (what is said of a wrong value), `check`
//! (what makes no sense), `convert` (what becomes of it) and `print` (`--print-config`).
//! `docs/configuration.md` is the reference for users.

mod api;
mod check;
mod convert;
mod explain;
mod gateways;
mod lanes;
mod layers;
mod leaf;
mod merge;
mod print;
mod sections;
mod sessions;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use api::{ApiOrder, ApiUrl};
pub use convert::ReadError;
pub(crate) use convert::{read_certificates, read_token};
pub use fetchway_policy::units::{Dur, Pace, Size};
pub use gateways::{DeliveryMode, DuplicateId, GatewaySection, LossSign};
pub use lanes::{DEFAULT, LaneSection, OriginSection};
pub use layers::{ConfigError, Layers};
pub use leaf::{KeyPath, Source};
pub use merge::Loaded;
pub use print::print_config;
pub use sections::{
    AdminSection, BatchSection, FetchSection, GuardSection, HttpSection, LogFormat, LogLevel,
    LogSection, ShutdownSection, TlsSection,
};
pub use sessions::{LimitOverrides, RelaySection, TokenSection};
pub use text::{
    Addresses, Expected, HIDDEN, ListenAddr, MainListen, Ports, Secret, Text, WebOrigin,
};

/// Everything that can be configured. Keys are in kebab case; a key that is not here is refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Where clients of the relay connect, if anywhere. Beyond loopback only with a token.
    pub listen: Text<MainListen>,
    /// Web origins whose pages may use this node. A request of any other page is refused with 403.
    pub allow_origins: Vec<Text<WebOrigin>>,
    /// TLS of the main listener.
    pub tls: TlsSection,
    /// Bounds of plain HTTP on both listeners.
    pub http: HttpSection,
    /// The listener of metrics, health and profiles.
    pub admin: AdminSection,
    /// Limits of one session, and the number of sessions.
    pub relay: RelaySection,
    /// Tokens for sessions. Without any, everyone who reaches a loopback listener may open sessions.
    pub tokens: Vec<TokenSection>,
    /// Batches that clients have run here.
    pub batch: BatchSection,
    /// WebSocket clients in front of HTTP APIs.
    pub gateways: Vec<GatewaySection>,
    /// Lanes by name. `default` always exists, and one for each gateway that names none.
    pub lanes: BTreeMap<String, LaneSection>,
    /// Limits of origins by host pattern; the most specific one counts, else `default`.
    pub origins: BTreeMap<String, OriginSection>,
    /// Where fetches may go.
    pub guard: GuardSection,
    /// Names with fixed addresses, asked before DNS and vetted like its answers.
    pub hosts: BTreeMap<String, Addresses>,
    /// The fetch engine.
    pub fetch: FetchSection,
    /// Logs, written to standard error.
    pub log: LogSection,
    /// How the node ends.
    pub shutdown: ShutdownSection,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Text(MainListen(Some(ListenAddr(([127, 0, 0, 1], 8787).into())))),
            allow_origins: Vec::new(),
            tls: TlsSection::default(),
            http: HttpSection::default(),
            admin: AdminSection::default(),
            relay: RelaySection::default(),
            tokens: Vec::new(),
            batch: BatchSection::default(),
            gateways: Vec::new(),
            lanes: BTreeMap::from([(DEFAULT.to_owned(), LaneSection::default())]),
            origins: BTreeMap::from([(DEFAULT.to_owned(), OriginSection::default())]),
            guard: GuardSection::default(),
            hosts: BTreeMap::new(),
            fetch: FetchSection::default(),
            log: LogSection::default(),
            shutdown: ShutdownSection::default(),
        }
    }
}
