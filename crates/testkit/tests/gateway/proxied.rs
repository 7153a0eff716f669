//! Behind proxies that say by the PROXY protocol whose connections they pass on.

use std::net::SocketAddr;

use fetchway_test_origins::{Api, ApiRequest};
use fetchway_testkit::Raw;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::gateway;

const ON: &str =
    "proxy-protocol = true\ntrusted-proxies = [\"127.0.0.0/8\"]\npush-token = \"secret\"";

/// Headers of version 2: of 192.0.2.7:56324 with a TLV, of [2001:db8::7]:9, and of a health check.
const V4: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb\x04\0\x02hi";
const V6: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x09\x01\xbb";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

async fn tcp(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.expect("the gateway accepts")
}

/// What the API was asked when this client connected last.
fn connect_of(api: &Api, target: &str) -> ApiRequest {
    let requests = api.requests();
    let mut asked = requests.iter().rev();
    let asked = asked.find(|r| r.method == Method::GET && r.target == target);
    asked.expect("it has connected").clone()
}

/// Sends this and waits until the gateway has closed the connection without a word.
async fn closed(addr: SocketAddr, bytes: &[u8]) {
    let mut stream = tcp(addr).await;
    stream.write_all(bytes).await.expect("it is taken");
    let mut answer = Vec::new();
    // One that has sent more than was read may find the connection reset.
    let read = tokio::time::timeout(fetchway_testkit::PATIENCE, stream.read_to_end(&mut answer));
    let _ = read.await.expect("it is closed");
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn the_clients_address_is_what_the_header_says() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, ON);
    let v1 = b"PROXY TCP4 198.51.100.9 127.0.0.1 4711 443\r\n";
    for (id, header, expected) in [
        ("v1", &v1[..], "198.51.100.9"),
        ("v4", V4, "192.0.2.7"),
        ("v6", V6, "2001:db8::7"),
    ] {
        let forged = "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n";
        let frame = fetchway_testkit::masked(0x81, b"hello");
        let target = format!("/{id}");
        let (mut client, _) =
            Raw::connect_on(tcp(addr).await, header, &target, forged, &frame).await;
        assert_eq!(client.frame().await.expect("an answer").payload, b"hello");
        let connect = connect_of(&api, &target);
        assert_eq!(connect.field("x-forwarded-for"), expected);
        assert_eq!(connect.field("forwarded"), "");
        // Whoever asks comes through the proxy too.
        let mut asks = tcp(addr).await;
        let ask = format!(
            "GET /{id} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
             Authorization: Bearer secret\r\n\r\n"
        );
        let ask = [LOCAL, ask.as_bytes()].concat();
        asks.write_all(&ask).await.expect("it is taken");
        let mut told = String::new();
        asks.read_to_string(&mut told).await.expect("an answer");
        assert!(
            told.contains(&format!("\"address\":\"{expected}\"")),
            "{told}"
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, ON);
    for header in [V4, b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n"] {
        let mut stream = tcp(addr).await;
        stream.set_nodelay(true).expect("a socket");
        for byte in header {
            stream.write_all(&[*byte]).await.expect("it is taken");
        }
        drop(Raw::connect_on(stream, &[], "/slow", "", &[]).await);
        let connect = connect_of(&api, "/slow");
        assert_eq!(connect.field("x-forwarded-for"), "192.0.2.7");
    }
    node.stop().await;
}

#[tokio::test]
async fn addresses_are_counted_by_what_the_header_says() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, &format!("{ON}\nper-address = 1"));
    let (first, _) = Raw::connect_on(tcp(addr).await, V4, "/a", "", &[]).await;
    let (other, _) = Raw::connect_on(tcp(addr).await, V6, "/b", "", &[]).await;
    let mut second = tcp(addr).await;
    let upgrade = "GET /c HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let asked = [V4, upgrade.as_bytes()].concat();
    second.write_all(&asked).await.expect("it is taken");
    let mut status = [0; 12];
    second.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 429");
    drop((first, other));
    node.stop().await;
}

/// The proxy's own address is one that is trusted; what comes along with it is nobody's word all the
/// same.
#[tokio::test]
async fn a_connection_of_nobody_has_the_proxys_address_and_is_believed_nothing() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, ON);
    for header in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        let forged = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n";
        drop(Raw::connect_on(tcp(addr).await, header, "/nobody", forged, &[]).await);
        let connect = connect_of(&api, "/nobody");
        assert_eq!(connect.field("x-forwarded-for"), "127.0.0.1");
        assert_eq!(connect.field("x-forwarded-proto"), "http");
    }
    node.stop().await;
}

#[tokio::test]
async fn without_a_header_nobody_comes_in() {
    let api = Api::echo();
    let settings = format!("{ON}\n[http]\nhandshake-timeout = \"50ms\"");
    let (node, addr) = gateway(&api, &settings);
    let wrong: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: test\r\n\r\n",
        b"\x16\x03\x01\x02\0",
        b"PROXY TCP4 192.0.2.7 127.0.0.1 4711\r\n",
        // One that does not go on, and nothing at all.
        &V4[..20],
        b"",
    ];
    for bytes in wrong {
        closed(addr, bytes).await;
    }
    let name = "fetchway_proxy_header_errors_total{listener=\"gateway\"}";
    assert_eq!(node.metric(name).await, Some(5.0));
    assert!(api.requests().is_empty());
    node.stop().await;
}

#[tokio::test]
async fn a_header_of_others_than_trusted_proxies_is_not_read() {
    let api = Api::echo();
    let settings = "proxy-protocol = true\ntrusted-proxies = [\"192.0.2.0/24\"]";
    let (node, addr) = gateway(&api, settings);
    let request = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    for header in [V4, LOCAL] {
        closed(addr, &[header, request].concat()).await;
    }
    assert!(api.requests().is_empty());
    node.stop().await;
}
