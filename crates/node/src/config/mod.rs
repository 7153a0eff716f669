//! The configuration of a node: a TOML file, the environment, flags; the later wins.
//!
//! Read `setting` (a value that is read, checked and written), `mod` (all keys), `sections`, `lanes`, `sessions`
//! and `gateways` (the tables below them), then `layers` and `merge` (how sources come together), `problem` (the
//! text about a wrong value), `bounds` and `check` (bounds of single values, and of several together), `convert`
//! (the configuration as other crates take it) and `print` (`--print-config`).
//! `docs/configuration.md` is the reference for users.

mod api;
mod bounds;
mod check;
mod collections;
mod convert;
mod gateways;
mod lanes;
mod layers;
mod leaf;
mod loaded;
mod merge;
mod print;
mod problem;
mod sections;
mod sessions;
mod setting;
mod text;

use std::collections::BTreeMap;

use setting::section;

pub use api::{ApiOrder, ApiUrl};
pub use convert::ReadError;
pub(crate) use convert::{read_certificates, read_token};
pub use fetchway_policy::units::{Dur, Pace, Size};
pub use gateways::{GatewaySection, LossSign};
pub use lanes::{DEFAULT, LaneSection, OriginSection};
pub use layers::Layers;
pub use leaf::{KeyPath, Source};
pub use loaded::Loaded;
pub use print::print_config;
pub use problem::ConfigError;
pub use sections::{
    AdminSection, BatchSection, FetchSection, GuardSection, HttpSection, LogFormat, LogLevel,
    LogSection, ShutdownSection, TlsSection,
};
pub use sessions::{LimitOverrides, RelaySection, TokenSection};
pub use text::{Addresses, HIDDEN, ListenAddr, MainListen, Ports, Secret, WebOrigin};

section! {
    /// The whole configuration.
    pub struct Config {
        /// Address for clients of the relay, if there is a relay. Beyond loopback only with a token.
        listen: MainListen = MainListen(Some(ListenAddr(([127, 0, 0, 1], 8787).into())));
        /// Web origins whose pages may use this node. A request of any other page is refused with 403.
        allow_origins: Vec<WebOrigin> = Vec::new();
        /// TLS of the main listener.
        tls: TlsSection = TlsSection::default();
        /// Bounds of plain HTTP on all listeners.
        http: HttpSection = HttpSection::default();
        /// The listener of metrics, health and profiles.
        admin: AdminSection = AdminSection::default();
        /// Limits of one session, and the number of sessions.
        relay: RelaySection = RelaySection::default();
        /// Credentials for sessions. None configured: everyone who reaches a loopback listener.
        tokens: Vec<TokenSection> = Vec::new();
        /// Batches that clients have run here.
        batch: BatchSection = BatchSection::default();
        /// WebSocket clients in front of HTTP APIs.
        gateways: Vec<GatewaySection> = Vec::new();
        /// Lanes by name. `default` always exists, and one for each gateway that names none.
        lanes: BTreeMap<String, LaneSection> = default_only();
        /// Limits of origins by host pattern; the most specific one counts, else `default`.
        origins: BTreeMap<String, OriginSection> = default_only();
        /// Addresses that fetches may reach.
        guard: GuardSection = GuardSection::default();
        /// Names with fixed addresses, asked before DNS and checked like answers of DNS.
        hosts: BTreeMap<String, Addresses> = BTreeMap::new();
        /// The fetch engine.
        fetch: FetchSection = FetchSection::default();
        /// Logs, written to standard error.
        log: LogSection = LogSection::default();
        /// The end of the node.
        shutdown: ShutdownSection = ShutdownSection::default();
    }
}

/// Returns a map with the one entry that always exists.
fn default_only<T: Default>() -> BTreeMap<String, T> {
    BTreeMap::from([(DEFAULT.to_owned(), T::default())])
}
