//! What a gateway is built from. Plain data; the node reads it from its configuration.

use std::time::Duration;

use fetchway_policy::guard::IpNet;
use http::HeaderValue;
use url::Url;

/// Which messages of one client may be at the API at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One, so that they arrive in order.
    Serial,
    /// So many.
    Parallel(u16),
}

impl Order {
    /// Messages at the API at the same time.
    #[must_use]
    pub fn at_once(self) -> u16 {
        match self {
            Self::Serial => 1,
            Self::Parallel(n) => n.max(1),
        }
    }
}

/// What a second connection with the same client id means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicate {
    /// It takes the first one's place once the API has accepted it.
    Replace,
    /// It is refused with 409.
    Reject,
    /// Both stay, and a push reaches both.
    Many,
}

/// How often a message may reach the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Sent again only if it provably was not sent.
    AtMostOnce,
    /// Sent again, with the same sequence number, until the API has answered with a status under 500.
    AtLeastOnce,
}

/// What a client sees of a message that was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnLoss {
    /// Nothing.
    Nothing,
    /// A text message.
    Message(String),
    /// A Close with code 1011.
    Close,
}

/// Who may push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// Nobody on the clients' listener.
    Refused,
    /// Whoever reaches the clients' listener.
    Open,
    /// Whoever holds the token, told apart by the node.
    Token,
}

/// What a gateway is built from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name in logs and metrics.
    pub name: String,
    /// The API: `http` or `https`; requests go to `<api>/<client id>`.
    pub api: Url,
    /// The lane that its requests travel in; none for the default one.
    pub lane: Option<String>,
    /// Which messages of one client may be at the API at the same time.
    pub order: Order,
    /// What a second connection with the same client id means.
    pub duplicate: Duplicate,
    /// The API understands epochs: a replaced connection's DELETE is sent too.
    pub epochs: bool,
    /// How often a message may reach the API.
    pub delivery: Delivery,
    /// What a client sees of a message that was lost.
    pub on_loss: OnLoss,
    /// Bytes of the longest message of a client, and of the longest push. A client that sends a longer
    /// one is closed with 1009, a push is refused with 413.
    pub max_message: usize,
    /// Messages of one client that wait for the API. With more the client is not read.
    pub queue_messages: usize,
    /// Bytes of them. With more the client is not read.
    pub queue_bytes: usize,
    /// How long a message may wait for the API, and be tried. Then it is lost. A DELETE likewise.
    pub queue_timeout: Duration,
    /// Bytes that wait to be taken by one client. A push beyond is refused with 429, and the client's
    /// own messages wait.
    pub send_buffer: usize,
    /// A client that takes nothing for so long while something waits is closed.
    pub write_stall: Duration,
    /// A silent client is pinged by then.
    pub ping_interval: Duration,
    /// A silent client is closed after it.
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
    /// Who may push on the clients' listener.
    pub push: Push,
    /// Over which time clients are closed when the node leaves.
    pub drain_spread: Duration,
}

impl Config {
    /// The defaults, for the API at `api`.
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
