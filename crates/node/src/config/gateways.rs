//! `[[gateways]]`: WebSocket clients in front of an HTTP API.

use std::path::PathBuf;
use std::time::Duration;

use fetchway_gateway::{Config, Delivery, Duplicate, OnLoss, Order, Push};
use fetchway_policy::guard::IpNet;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{
    ApiOrder, ApiUrl, Dur, LaneSection, ListenAddr, Pace, Secret, Size, Text, TlsSection, WebOrigin,
};

/// Name of a gateway that has no name of its own.
const DEFAULT_NAME: &str = "gateway";
/// Prefix of the name of a gateway's own lane.
pub(super) const OWN_LANE: &str = "gateway-";
/// Connections to one API at once, and requests at once in a gateway's own lane.
pub(super) const API_CONCURRENCY: usize = 10_000;
/// How long a request in a gateway's own lane may take.
const API_TIMEOUT: Duration = Duration::from_secs(60);

/// One of `[[gateways]]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct GatewaySection {
    /// Name in logs and metrics, and part of the name of the lane.
    pub name: String,
    /// Where clients connect. Needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<Text<ListenAddr>>,
    /// The API's address. Needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<Text<ApiUrl>>,
    /// The lane that its requests travel in. Left out: one of its own, `gateway-NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// TLS of the clients' listener.
    pub tls: TlsSection,
    /// A listener of its own for pushes. Left out: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_listen: Option<Text<ListenAddr>>,
    /// TLS of that listener.
    pub push_tls: TlsSection,
    /// Token for pushes, on either listener. Left out: none.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub push_token: Secret,
    /// A file that holds the token instead. Empty: none.
    pub push_token_file: PathBuf,
    /// Allows pushes without a token on the clients' listener.
    pub open_push: bool,
    /// Which messages of one client may be at the API at the same time.
    pub order: Text<ApiOrder>,
    /// Handling of a second connection with the same client id.
    pub duplicate: DuplicateId,
    /// The API understands epochs: a replaced connection's DELETE is sent too.
    pub epochs: bool,
    /// How often a message may reach the API.
    pub delivery: DeliveryMode,
    /// The sign of a lost message that a client sees.
    pub on_loss: LossSign,
    /// The text of it, for `on-loss = "message"`.
    pub on_loss_message: String,
    /// Bytes of the longest message of a client, and of the longest push.
    pub max_message: Text<Size>,
    /// Messages of one client that wait for the API. With more it is not read.
    pub queue_messages: usize,
    /// Bytes of them. With more it is not read.
    pub queue_bytes: Text<Size>,
    /// How long a message or DELETE may wait and be tried. Then it is lost.
    pub queue_timeout: Text<Dur>,
    /// Bytes that wait to be taken by one client. A push beyond is refused with 429.
    pub send_buffer: Text<Size>,
    /// A client that takes nothing for so long while something waits is closed.
    pub write_stall: Text<Dur>,
    /// A silent client is pinged by then.
    pub ping_interval: Text<Dur>,
    /// A silent client is closed after it.
    pub idle_timeout: Text<Dur>,
    /// Messages that one client may send in a second. With more it is not read for a while.
    pub rate: Text<Pace>,
    /// Web origins whose pages may connect. Empty: all; the API sees the field and decides.
    pub allow_origins: Vec<Text<WebOrigin>>,
    /// Clients at once; 0 for as many as the limit of open files allows.
    pub max_clients: usize,
    /// Connections of one address; 0 for any number.
    pub per_address: usize,
    /// Peers whose `Forwarded` and `X-Forwarded-*` fields are believed, and whose PROXY headers.
    pub trusted_proxies: Vec<Text<IpNet>>,
    /// Connections of clients begin with a PROXY header, and come from `trusted-proxies` only.
    pub proxy_protocol: bool,
    /// Over which time clients are closed when the node ends.
    pub drain_spread: Text<Dur>,
    /// Several processes may listen at `listen`; the system deals connections out to them.
    pub reuse_port: bool,
}

impl Default for GatewaySection {
    /// Returns the defaults of `fetchway_gateway::Config`. A test compares the two.
    fn default() -> Self {
        let duration = |seconds| Text(Dur(Duration::from_secs(seconds)));
        Self {
            name: DEFAULT_NAME.to_owned(),
            listen: None,
            api: None,
            lane: None,
            tls: TlsSection::default(),
            push_listen: None,
            push_tls: TlsSection::default(),
            push_token: Secret::default(),
            push_token_file: PathBuf::new(),
            open_push: false,
            order: Text(ApiOrder(Order::Serial)),
            duplicate: DuplicateId::Replace,
            epochs: false,
            delivery: DeliveryMode::AtMostOnce,
            on_loss: LossSign::Nothing,
            on_loss_message: String::new(),
            max_message: Text(Size(1 << 20)),
            queue_messages: 64,
            queue_bytes: Text(Size(256 << 10)),
            queue_timeout: duration(60),
            send_buffer: Text(Size(256 << 10)),
            write_stall: duration(30),
            ping_interval: duration(30),
            idle_timeout: duration(90),
            rate: Text(Pace(None)),
            allow_origins: Vec::new(),
            max_clients: 0,
            per_address: 0,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            drain_spread: duration(5),
            reuse_port: false,
        }
    }
}

impl GatewaySection {
    /// The lane that its requests travel in.
    #[must_use]
    pub fn lane(&self) -> String {
        self.lane.clone().unwrap_or_else(|| own_lane(&self.name))
    }

    /// As the gateway takes it, for the API at `api`. `has_token`: there is a push token.
    #[must_use]
    pub fn to_config(&self, api: &ApiUrl, has_token: bool) -> Config {
        Config {
            name: self.name.clone(),
            api: api.url().clone(),
            lane: Some(self.lane()),
            order: self.order.0.0,
            duplicate: match self.duplicate {
                DuplicateId::Replace => Duplicate::Replace,
                DuplicateId::Reject => Duplicate::Reject,
                DuplicateId::Many => Duplicate::Many,
            },
            epochs: self.epochs,
            delivery: match self.delivery {
                DeliveryMode::AtMostOnce => Delivery::AtMostOnce,
                DeliveryMode::AtLeastOnce => Delivery::AtLeastOnce,
            },
            on_loss: match self.on_loss {
                LossSign::Nothing => OnLoss::Nothing,
                LossSign::Message => OnLoss::Message(self.on_loss_message.clone()),
                LossSign::Close => OnLoss::Close,
            },
            max_message: self.max_message.as_usize(),
            queue_messages: self.queue_messages,
            queue_bytes: self.queue_bytes.as_usize(),
            queue_timeout: self.queue_timeout.0.0,
            send_buffer: self.send_buffer.as_usize(),
            write_stall: self.write_stall.0.0,
            ping_interval: self.ping_interval.0.0,
            idle_timeout: self.idle_timeout.0.0,
            // A check has seen to it that the window is a second.
            rate: self.rate.0.0.map_or(0, |rate| rate.count),
            allow_origins: (self.allow_origins.iter())
                .filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok())
                .collect(),
            max_clients: self.max_clients,
            per_address: self.per_address,
            trusted_proxies: self.trusted_proxies.iter().map(|net| net.0).collect(),
            push: match (self.open_push, has_token) {
                (true, _) => Push::Open,
                (false, true) => Push::Token,
                (false, false) => Push::Refused,
            },
            drain_spread: self.drain_spread.0.0,
        }
    }
}

/// The lane of the gateway `name` that names none.
fn own_lane(name: &str) -> String {
    format!("{OWN_LANE}{name}")
}

/// The defaults of a gateway's own lane.
fn lane_defaults() -> LaneSection {
    LaneSection {
        concurrency: API_CONCURRENCY,
        header_timeout: Text(Dur(API_TIMEOUT)),
        total_timeout: Text(Dur(API_TIMEOUT)),
        ..LaneSection::default()
    }
}

/// Whether a gateway may be called so.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(plain)
}

/// Brings about the lanes of gateways that name none. What `config`, a whole configuration, says of
/// them stays.
pub(super) fn add_lanes(config: &mut Table) -> Result<(), toml::ser::Error> {
    let gateways = config.get("gateways").and_then(Value::as_array);
    let own: Vec<String> = gateways
        .into_iter()
        .flatten()
        .filter_map(Value::as_table)
        .filter(|gateway| !gateway.contains_key("lane"))
        .map(|gateway| {
            gateway
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or(DEFAULT_NAME)
        })
        // Another name is refused, and would make for a second complaint.
        .filter(|name| is_name(name))
        .map(own_lane)
        .collect();
    for name in own {
        let mut lane = Table::try_from(lane_defaults())?;
        let lanes = config.entry("lanes").or_insert_with(|| Table::new().into());
        let Value::Table(lanes) = lanes else { continue };
        if let Some(Value::Table(given)) = lanes.remove(&name) {
            lane.extend(given);
        }
        lanes.insert(name, lane.into());
    }
    Ok(())
}

/// The same for a configuration made by a program, which says nothing or all of a lane.
pub(super) fn add_missing_lanes(config: &mut super::Config) {
    for gateway in &config.gateways {
        let lane = config.lanes.entry(gateway.lane());
        if gateway.lane.is_none() {
            lane.or_insert_with(lane_defaults);
        }
    }
}

/// Handling of a second connection with the same client id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DuplicateId {
    /// The second connection replaces the first one.
    Replace,
    /// The second connection is refused with 409.
    Reject,
    /// Both stay, and a push reaches both.
    Many,
}

/// How often a message may reach the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryMode {
    /// Sent again only if it provably was not sent.
    AtMostOnce,
    /// Sent again until the API has answered.
    AtLeastOnce,
}

/// The sign of a lost message that a client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossSign {
    /// Nothing.
    Nothing,
    /// The text of `on-loss-message`.
    Message,
    /// A Close with code 1011.
    Close,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_gateways_own() {
        let api: ApiUrl = "http://127.0.0.1:8000".parse().expect("a URL");
        let mut own = Config::new(DEFAULT_NAME, api.url().clone());
        own.lane = Some("gateway-gateway".to_owned());
        let section = GatewaySection::default().to_config(&api, false);
        assert_eq!(format!("{section:?}"), format!("{own:?}"));
    }
}
