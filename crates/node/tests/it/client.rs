//! A plain HTTP/1.1 client over real TCP, and nodes on ports that the system chooses.

use std::net::SocketAddr;
use std::path::Path;

use fetchway_node::{Layers, Loaded, Node};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Lower case.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a text")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Sends `request` and reads until the server closes.
pub(crate) async fn exchange(mut io: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Answer {
    io.write_all(request.as_bytes())
        .await
        .expect("the request is taken");
    let mut bytes = Vec::new();
    io.read_to_end(&mut bytes).await.expect("the answer ends");
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a header");
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a text");
    let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
    let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
    Answer {
        status: status.expect("a status"),
        headers: headers.to_ascii_lowercase(),
        body: bytes[end + 4..].to_vec(),
    }
}

/// `METHOD PATH` with further header lines, on a connection of its own.
pub(crate) async fn send(addr: SocketAddr, what: &str, headers: &[&str]) -> Answer {
    let io = TcpStream::connect(addr)
        .await
        .expect("the listener is there");
    exchange(io, &request(addr, what, headers)).await
}

pub(crate) fn request(addr: SocketAddr, what: &str, headers: &[&str]) -> String {
    let own_host = headers.iter().any(|h| h.starts_with("Host:"));
    let host = if own_host {
        String::new()
    } else {
        format!("Host: {addr}\r\n")
    };
    let lines: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    format!("{what} HTTP/1.1\r\n{host}Connection: close\r\n{lines}\r\n")
}

/// Asks for an upgrade and reads the header of the answer; the connection stays open.
pub(crate) async fn upgrade(addr: SocketAddr, headers: &[&str]) -> (Answer, TcpStream) {
    upgrade_at(addr, "/", headers).await
}

/// The same at another path than the root.
pub(crate) async fn upgrade_at(
    addr: SocketAddr,
    target: &str,
    headers: &[&str],
) -> (Answer, TcpStream) {
    let io = TcpStream::connect(addr)
        .await
        .expect("the listener is there");
    upgrade_on(io, addr, target, headers).await
}

/// The same on a connection to `addr`.
pub(crate) async fn upgrade_on<S: AsyncRead + AsyncWrite + Unpin>(
    mut io: S,
    addr: SocketAddr,
    target: &str,
    headers: &[&str],
) -> (Answer, S) {
    let lines: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    );
    io.write_all(request.as_bytes())
        .await
        .expect("the request is taken");
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(io.read_u8().await.expect("a header"));
    }
    (parse(&bytes), io)
}

/// Reads what a session is sent until it is over, answering the node's Close by leaving.
pub(crate) async fn until_closed(session: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut left = false;
    // Ends by a close or, where the node is cut off, perhaps by a reset.
    while session.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {
        if says_going_away(&bytes) && !left {
            left = true;
            // The node may have closed by itself in the meantime.
            let _ = session.shutdown().await;
        }
    }
    bytes
}

/// Whether a Close frame with code 1001 (0x03e9) is among `bytes`.
pub(crate) fn says_going_away(bytes: &[u8]) -> bool {
    bytes
        .windows(4)
        .any(|w| w[0] == 0x88 && w[2..] == [0x03, 0xe9])
}

/// Where the node's main listener is.
pub(crate) fn main_addr(node: &Node) -> SocketAddr {
    node.addr().expect("there is a main listener")
}

/// A configuration with both listeners on free loopback ports.
pub(crate) fn config(toml: &str) -> Loaded {
    config_at("127.0.0.1", toml)
}

/// The same at a loopback address of the caller's own, where no other test takes a port that has
/// become free again.
pub(crate) fn config_at(ip: &str, toml: &str) -> Loaded {
    let any_port = format!("{ip}:0");
    let loaded = Layers::new()
        .file(Path::new("test.toml"), toml)
        .flag("--listen", "listen", any_port.clone())
        .flag("--admin-listen", "admin.listen", any_port)
        .load();
    loaded.unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn start(toml: &str) -> Node {
    Node::start(&config(toml)).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn start_at(ip: &str, toml: &str) -> Node {
    Node::start(&config_at(ip, toml)).unwrap_or_else(|e| panic!("{e}"))
}
