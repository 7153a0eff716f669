//! `[[gateways]]`: WebSocket clients in front of an HTTP API.

use std::path::PathBuf;
use std::time::Duration;

use fetchway_gateway::{Config, Delivery, Duplicate, OnLoss, Order, Push};
use fetchway_policy::Rate;
use fetchway_policy::guard::IpNet;
use fetchway_policy::units::{Pace, Size};
use http::HeaderValue;

use super::bounds::{at_least, some, some_time};
use super::setting::{choice_settings, section};
use super::{ApiOrder, ApiUrl, LaneSection, ListenAddr, Secret, TlsSection, WebOrigin};

/// Name of a gateway that is given none.
const DEFAULT_NAME: &str = "gateway";
/// Start of the name of a gateway's own lane.
pub(super) const OWN_LANE: &str = "gateway-";
/// Connections to one API at once, and requests at once in a gateway's own lane.
pub(super) const API_CONCURRENCY: usize = 10_000;
/// Time that a request in a gateway's own lane may take.
const API_TIMEOUT: Duration = Duration::from_secs(60);

section! {
    /// One of `[[gateways]]`. The defaults are those of `fetchway_gateway::Config`; a test says so.
    pub struct GatewaySection {
        /// Name in logs and metrics, and in the name of its lane.
        name: String = DEFAULT_NAME.to_owned(), name;
        /// Address for clients. Required.
        listen: Option<ListenAddr> = None;
        /// The API's address. Required.
        api: Option<ApiUrl> = None;
        /// The lane of its requests. Left out: one of its own, `gateway-NAME`.
        lane: Option<String> = None;
        /// TLS of the clients' listener.
        tls: TlsSection = TlsSection::default();
        /// A listener of its own for pushes. Left out: none.
        push_listen: Option<ListenAddr> = None;
        /// TLS of that listener.
        push_tls: TlsSection = TlsSection::default();
        /// Token that permits pushes, on either listener. Left out: none.
        push_token: Secret = Secret::default();
        /// A file that holds the token instead. Empty: none.
        push_token_file: PathBuf = PathBuf::new();
        /// Everyone who reaches the clients' listener may push.
        open_push: bool = false;
        /// The messages of one client that may be at the API at the same time.
        order: ApiOrder = ApiOrder(Order::Serial);
        /// Treatment of a second connection with the same client id.
        duplicate: Duplicate = Duplicate::Replace;
        /// The API understands epochs: a replaced connection's DELETE is sent too.
        epochs: bool = false;
        /// Number of times that a message may reach the API.
        delivery: Delivery = Delivery::AtMostOnce;
        /// Notice to a client about a message that was lost.
        on_loss: LossSign = LossSign::Nothing;
        /// Text of the notice, for `on-loss = "message"`.
        on_loss_message: String = String::new();
        /// Bytes of the longest message of a client, and of the longest push.
        max_message: Size = Size(1 << 20), at_least(1);
        /// Messages of one client that wait for the API. With more it is not read.
        queue_messages: usize = 64, some;
        /// Bytes of those messages. With more it is not read.
        queue_bytes: Size = Size(256 << 10), at_least(1);
        /// Time that a message or DELETE may wait and be tried. Then it is lost.
        queue_timeout: Duration = Duration::from_secs(60), some_time;
        /// Bytes that wait to be taken by one client. A push beyond is refused with 429.
        send_buffer: Size = Size(256 << 10), at_least(1);
        /// Time after which a client that takes nothing, while something waits for it, is closed.
        write_stall: Duration = Duration::from_secs(30), some_time;
        /// Time after which a silent client is pinged.
        ping_interval: Duration = Duration::from_secs(30), some_time;
        /// Time after which a silent client is closed.
        idle_timeout: Duration = Duration::from_secs(90);
        /// Messages that one client may send in a second. With more it is not read for a while.
        rate: Pace = Pace(None), per_second;
        /// Web origins whose pages may connect. Empty: all; the API sees the field and decides.
        allow_origins: Vec<WebOrigin> = Vec::new();
        /// Clients at once; 0 for as many as the limit of open files allows.
        max_clients: usize = 0;
        /// Connections of one address; 0 for any number.
        per_address: usize = 0;
        /// Peers whose `Forwarded` and `X-Forwarded-*` fields are believed, and whose PROXY headers.
        trusted_proxies: Vec<IpNet> = Vec::new();
        /// Connections of clients begin with a PROXY header, and come from `trusted-proxies` only.
        proxy_protocol: bool = false;
        /// Time over which clients are closed when the node ends.
        drain_spread: Duration = Duration::from_secs(5);
        /// Several processes may listen at `listen`; the system distributes connections among them.
        reuse_port: bool = false;
    }
}

fn name(name: &str) -> Option<String> {
    let why = "expected a gateway's name of 1 to 32 lower-case letters, digits or -";
    (!is_name(name)).then(|| why.to_owned())
}

fn per_second(pace: &Pace) -> Option<String> {
    let is_other = |rate: Rate| rate.window != Duration::from_secs(1);
    let why = "expected a number of messages per second, such as 20/s, or unlimited";
    pace.0.is_some_and(is_other).then(|| why.to_owned())
}

impl GatewaySection {
    /// Returns the name of the lane of its requests.
    #[must_use]
    pub fn lane(&self) -> String {
        self.lane.clone().unwrap_or_else(|| own_lane(&self.name))
    }

    /// Returns the configuration as the gateway takes it, for the API at `api`. `has_token`: there is a push token.
    #[must_use]
    pub fn to_config(&self, api: &ApiUrl, has_token: bool) -> Config {
        Config {
            name: self.name.clone(),
            api: api.url().clone(),
            lane: Some(self.lane()),
            order: self.order.0,
            duplicate: self.duplicate,
            epochs: self.epochs,
            delivery: self.delivery,
            on_loss: match self.on_loss {
                LossSign::Nothing => OnLoss::Nothing,
                LossSign::Message => OnLoss::Message(self.on_loss_message.clone()),
                LossSign::Close => OnLoss::Close,
            },
            max_message: self.max_message.as_usize(),
            queue_messages: self.queue_messages,
            queue_bytes: self.queue_bytes.as_usize(),
            queue_timeout: self.queue_timeout,
            send_buffer: self.send_buffer.as_usize(),
            write_stall: self.write_stall,
            ping_interval: self.ping_interval,
            idle_timeout: self.idle_timeout,
            // The window is a second: `per_second`.
            rate: self.rate.0.map_or(0, |rate| rate.count),
            allow_origins: (self.allow_origins.iter())
                .filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok())
                .collect(),
            max_clients: self.max_clients,
            per_address: self.per_address,
            trusted_proxies: self.trusted_proxies.clone(),
            push: match (self.open_push, has_token) {
                (true, _) => Push::Open,
                (false, true) => Push::Token,
                (false, false) => Push::Refused,
            },
            drain_spread: self.drain_spread,
        }
    }
}

/// Returns the name of the lane of the gateway `name`, if it names none.
fn own_lane(name: &str) -> String {
    format!("{OWN_LANE}{name}")
}

/// Gives a gateway's own lane its defaults, for keys that are not `given`.
fn set_lane_defaults(lane: &mut LaneSection, given: impl Fn(&str) -> bool) {
    if !given("concurrency") {
        lane.concurrency = API_CONCURRENCY;
    }
    if !given("header-timeout") {
        lane.header_timeout = API_TIMEOUT;
    }
    if !given("total-timeout") {
        lane.total_timeout = API_TIMEOUT;
    }
}

/// Returns true for a valid name of a gateway.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(plain)
}

/// Adds the lanes of gateways that name none. Keys of those lanes that are `given` stay as they are.
pub(super) fn add_lanes(config: &mut super::Config, given: impl Fn(&str, &str) -> bool) {
    for gateway in &config.gateways {
        // An invalid name is refused, and its lane would cause a second problem.
        if gateway.lane.is_none() && is_name(&gateway.name) {
            let name = own_lane(&gateway.name);
            let lane = config.lanes.entry(name.clone()).or_default();
            set_lane_defaults(lane, |key| given(&name, key));
        }
    }
}

/// Notice to a client about a message that was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LossSign {
    /// Nothing.
    #[default]
    Nothing,
    /// The text of `on-loss-message`.
    Message,
    /// A Close with code 1011.
    Close,
}

choice_settings! {
    Duplicate { "replace" = Replace, "reject" = Reject, "many" = Many, }
    Delivery { "at-most-once" = AtMostOnce, "at-least-once" = AtLeastOnce, }
    LossSign { "nothing" = Nothing, "message" = Message, "close" = Close, }
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
