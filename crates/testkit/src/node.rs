//! A node on ports of the system's choice.

use std::net::SocketAddr;
use std::path::Path;

use fetchway_fetch::LaneStats;
use fetchway_node::{Ended, Layers, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Client, PATIENCE};

/// A running node.
pub struct TestNode {
    node: Node,
}

impl std::fmt::Debug for TestNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TestNode({})", self.addr())
    }
}

impl TestNode {
    /// A node that may fetch from loopback, with `settings` (dotted key, value) on top.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn open(settings: &[(&str, &str)]) -> Self {
        let mut all = vec![("guard.allow-net", "127.0.0.0/8,::1/128")];
        all.extend_from_slice(settings);
        Self::guarded(&all)
    }

    /// A node with the default address guard.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn guarded(settings: &[(&str, &str)]) -> Self {
        let start = Layers::new().flag("test", "listen", "127.0.0.1:0");
        let add =
            |layers: Layers, (key, value): &(&str, &str)| layers.flag_text("test", key, *value);
        Self::start(settings.iter().fold(start, add))
    }

    /// A node that listens on `listen`, with the default address guard and the configuration file
    /// `toml`.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn configured(listen: &str, toml: &str) -> Self {
        let file = Layers::new().file(Path::new("test.toml"), toml);
        Self::start(file.flag("test", "listen", listen))
    }

    /// A node with a gateway called `gateway`, as the configuration file `toml` has it.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn with_gateway(toml: &str) -> Self {
        Self::start(Layers::new().file(Path::new("test.toml"), toml))
    }

    /// Where clients of its gateway connect.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn gateway(&self) -> SocketAddr {
        self.node.gateway_addr("gateway").expect("a gateway")
    }

    /// Where its gateway is pushed to.
    ///
    /// # Panics
    /// If it has no listener for that.
    #[must_use]
    pub fn push(&self) -> SocketAddr {
        self.node.push_addr("gateway").expect("a push listener")
    }

    fn start(layers: Layers) -> Self {
        let layers = layers.flag("test", "admin.listen", "127.0.0.1:0");
        let loaded = layers.load().expect("the test's configuration");
        Self {
            node: Node::start(&loaded).expect("the node starts"),
        }
    }

    /// The main listener.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.node.addr().expect("a main listener")
    }

    /// The admin listener.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.node.admin_addr().expect("an admin listener")
    }

    /// The node itself.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// A client's connection to it.
    pub async fn client(&self) -> Client {
        Client::connect(&format!("ws://{}/", self.addr())).await
    }

    /// The same on behalf of whoever holds `token`.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn client_with(&self, token: &str) -> Client {
        let url = format!("ws://127.0.0.1:{}/", self.addr().port());
        let bearer = format!("Bearer {token}");
        let client = Client::try_connect(&url, &[("authorization", &bearer)]).await;
        client.expect("the token is good")
    }

    /// Returns when the default lane stands as asked. The schedule has no event for that, so it is
    /// looked at again and again.
    ///
    /// # Panics
    /// If that does not happen.
    pub async fn until_lane(&self, ready: impl Fn(&LaneStats) -> bool) {
        let engine = self.node.engine();
        let default = engine.lane(None).expect("there always is one");
        let looking = async {
            while !ready(&engine.lane_stats()[default]) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, looking)
            .await
            .expect("the lane stands as asked");
    }

    /// The value of a metric, written as it stands before the number.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = http(self.admin(), "GET /metrics HTTP/1.1").await;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
    }

    /// Stops it as SIGTERM does, and waits until nothing is left over: no fetch in flight or queued,
    /// no byte of the budget held. The tasks of a session that was cut off end a moment after it.
    ///
    /// # Panics
    /// If it does not stop, or something is left.
    pub async fn stop(self) -> Ended {
        let engine = self.node.engine().clone();
        let stopped = tokio::time::timeout(PATIENCE, self.node.stop()).await;
        let ended = stopped.expect("the node stops");
        let is_left = || {
            let stats = engine.lane_stats();
            stats
                .iter()
                .any(|lane| lane.in_flight + lane.queued + lane.queued_bytes > 0)
                || engine.budget_used() > 0
        };
        let emptied = async {
            while is_left() {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, emptied).await.is_err() {
            panic!(
                "left over: {:?}, {} bytes",
                engine.lane_stats(),
                engine.budget_used()
            );
        }
        ended
    }
}

/// One plain HTTP exchange: the request line (and fields, if any) given, status and body returned.
///
/// # Panics
/// If the server does not answer.
pub async fn http(addr: SocketAddr, head: &str) -> (u16, String) {
    exchange(addr, head, "").await
}

/// The same with a request body.
///
/// # Panics
/// If the server does not answer.
pub async fn exchange(addr: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let answer = answer(addr, head, body).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole header");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), body.to_owned())
}

/// The same, of which the whole answer is returned as it came.
///
/// # Panics
/// If the server does not answer.
pub async fn answer(addr: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("the server accepts");
    let host = if head.to_ascii_lowercase().contains("\r\nhost:") {
        String::new()
    } else {
        format!("Host: {addr}\r\n")
    };
    let length = match body.len() {
        0 => String::new(),
        len => format!("Content-Length: {len}\r\n"),
    };
    let request = format!("{head}\r\n{host}{length}Connection: close\r\n\r\n{body}");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the request is sent");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
    read.await.expect("an answer").expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}
