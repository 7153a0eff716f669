//! The configuration of a gateway. Plain data; the node reads it from its own configuration.

use std::time::Duration;

use fetchway_policy::guard::IpNet;
use http::HeaderValue;
use url::Url;

/// The number of messages of one client that may be at the API at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One message, so that all arrive in order.
    Serial,
    /// This many messages.
    Parallel(u16),
}

impl Order {
    /// Returns the number of messages that may be at the API at the same time.
    #[must_use]
    pub fn at_once(self) -> u16 {
        match self {
            Self::Serial => 1,
            Self::Parallel(n) => n.max(1),
        }
    }
}

/// Treatment of a second connection with the same client id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicate {
    /// The second connection replaces the first one, once the API has accepted it.
    Replace,
    /// The second connection is refused with 409.
    Reject,
    /// Both connections stay, and a push reaches both.
    Many,
}

/// The guarantee about messages to the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A message is sent again only if it was provably not sent.
    AtMostOnce,
    /// A message is sent again, with the same sequence number, until the API has answered with a status under 500.
    AtLeastOnce,
}

/// Notice to a client whose message was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnLoss {
    /// Nothing.
    Nothing,
    /// A text message.
    Message(String),
    /// A Close with code 1011.
    Close,
}

/// Permission to push on the clients' listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// Nobody may push.
    Refused,
    /// Everybody who reaches the listener may push.
    Open,
    /// Holders of the token may push. The node checks the token.
    Token,
}

/// The configuration of a gateway.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the gateway in logs and metrics.
    pub name: String,
    /// The API: `http` or `https`; requests go to `<api>/<client id>`.
    pub api: Url,
    /// Lane of the requests; none for the default one.
    pub lane: Option<String>,
    /// The number of messages of one client that may be at the API at the same time.
    pub order: Order,
    /// Treatment of a second connection with the same client id.
    pub duplicate: Duplicate,
    /// The API understands epochs: a replaced connection's DELETE is sent too.
    pub epochs: bool,
    /// The guarantee about messages to the API.
    pub delivery: Delivery,
    /// Notice to a client whose message was lost.
    pub on_loss: OnLoss,
    /// Bytes of the longest message of a client, and of the longest push. A client that sends a longer
    /// one is closed with 1009, a push is refused with 413.
    pub max_message: usize,
    /// Messages of one client that may wait for the API. At this number the client is not read.
    pub queue_messages: usize,
    /// Bytes of one client's messages that may wait. At this number the client is not read.
    pub queue_bytes: usize,
    /// Time for which a message or DELETE may wait for the API and be tried. Then it is lost.
    pub queue_timeout: Duration,
    /// Bytes that wait to be taken by one client. A push beyond is refused with 429, and the client's
    /// own messages wait.
    pub send_buffer: usize,
    /// A client that takes nothing for this time, while something waits for it, is cut off.
    pub write_stall: Duration,
    /// A client that is silent for this time is pinged.
    pub ping_interval: Duration,
    /// A client that is silent for this time is closed.
    pub idle_timeout: Duration,
    /// Messages that one client may send in a second; zero for any number. With more it is not read
    /// until the second is over.
    pub rate: u32,
    /// Web origins whose pages may connect; empty for all: the API sees the field and decides.
    pub allow_origins: Vec<HeaderValue>,
    /// Clients at once, from before the API is asked until their socket is closed; zero for any number.
    /// Further ones are refused with 503.
    pub max_clients: usize,
    /// Connections of one address; zero for any number.
    pub per_address: usize,
    /// Peers whose `Forwarded` and `X-Forwarded-*` fields are believed and passed on.
    pub trusted_proxies: Vec<IpNet>,
    /// Permission to push on the clients' listener.
    pub push: Push,
    /// Time over which clients are closed when the node shuts down.
    pub drain_spread: Duration,
}

impl Config {
    /// Returns the defaults, for the API at `api`.
    #[must_use]
    pub fn new(name: &str, api: Url) -> Self {
        Self {
            name: name.to_owned(),
            api,
            lane: None,
            order: Order::Serial,
            duplicate: Duplicate::Replace,
            epochs: false,
            delivery: Delivery::AtMostOnce,
            on_loss: OnLoss::Nothing,
            max_message: 1 << 20,
            queue_messages: 64,
            queue_bytes: 256 << 10,
            queue_timeout: Duration::from_secs(60),
            send_buffer: 256 << 10,
            write_stall: Duration::from_secs(30),
            ping_interval: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
            rate: 0,
            allow_origins: Vec::new(),
            max_clients: 0,
            per_address: 0,
            trusted_proxies: Vec::new(),
            push: Push::Refused,
            drain_spread: Duration::from_secs(5),
        }
    }
}
