//! How many sessions a token may have, and what those without a socket may hold.

use fetchway_testkit::{Binary, PATIENCE, TestNode, data, get, head, http, open};
use fetchway_wire::v1::{Frame, Hello};
use http::Method;

use crate::{client, origin};

const REFUSED: &str = "fetchway_requests_refused_total{reason=\"sessions\"}";

fn asking(token: Option<[u8; 16]>) -> Hello {
    Hello {
        token,
        received: Some(0),
        ..Hello::default()
    }
}

async fn connect(node: &TestNode) -> Binary {
    Binary::connect(&format!("ws://{}/", node.addr()), None).await
}

#[tokio::test]
async fn the_only_session_is_resumed() {
    let (node, origin) = (TestNode::open(&[("relay.max-sessions", "1")]), origin());
    let (first, hello) = client(&node).await;
    first.cut();
    // Perhaps before the node has noticed.
    let mut second = connect(&node).await;
    let resumed = second.hello(asking(hello.token)).await;
    assert!(resumed.received.is_some(), "{:?}", resumed.refused);
    second.send([get(1, &origin.url("/bytes?n=10"))]).await;
    assert_eq!(second.answer(1).await.1.len(), 10);
    // Nobody else gets in by it, whatever they speak.
    let mut third = connect(&node).await;
    third.send([Frame::Hello(Hello::default())]).await;
    assert_eq!(third.close_code().await, Some(4430));
    let json = "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    assert_eq!(http(node.addr(), json).await.0, 429);
    assert_eq!(node.metric(REFUSED).await, Some(2.0));
    drop(second);
    node.stop().await;
}

#[tokio::test]
async fn a_new_session_takes_the_place_of_one_that_nobody_is_connected_to() {
    let settings = [("relay.max-sessions", "1"), ("relay.resume-within", "1h")];
    let (node, origin) = (TestNode::open(&settings), origin());
    let (mut first, hello) = client(&node).await;
    first.send([get(1, &origin.url("/gate?key=shut"))]).await;
    origin.wait_until(|stats| stats.in_flight == 1).await;
    first.cut();
    // Its socket's loss may be noticed late, but not never.
    let until = std::time::Instant::now() + PATIENCE;
    let mut second = loop {
        assert!(until > std::time::Instant::now(), "it keeps its place");
        let mut second = connect(&node).await;
        second.send([Frame::Hello(Hello::default())]).await;
        match second.frame().await {
            Ok(Frame::Hello(_)) => break second,
            Err(code) => assert_eq!(code, Some(4430)),
            Ok(other) => panic!("{other:?}"),
        }
    };
    origin.wait_until(|stats| stats.aborted == 1).await;
    let mut late = connect(&node).await;
    late.send([Frame::Hello(asking(hello.token))]).await;
    assert_eq!(late.close_code().await, Some(4430));
    second.send([get(1, &origin.url("/bytes?n=10"))]).await;
    assert_eq!(second.answer(1).await.1.len(), 10);
    drop(second);
    node.stop().await;
}

#[tokio::test]
async fn sockets_that_say_nothing_are_bounded() {
    let node = TestNode::open(&[("relay.max-sessions", "1")]);
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(connect(&node).await);
    }
    let handshake = "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                     Sec-WebSocket-Protocol: fetchway.v1";
    assert_eq!(http(node.addr(), handshake).await.0, 429);
    assert_eq!(node.metric(REFUSED).await, Some(1.0));
    // One of them begins: then there is room for another.
    silent[3].hello(Hello::default()).await;
    silent.push(connect(&node).await);
    drop(silent);
    node.stop().await;
}

/// Of an upload that no origin has taken yet the bytes count, though nothing is held for the client.
#[tokio::test]
async fn request_bodies_count_in_what_parked_sessions_hold() {
    let settings = [
        ("relay.max-parked-bytes", "8KiB"),
        ("relay.resume-within", "1h"),
        ("lanes.default.concurrency", "1"),
    ];
    let (node, origin) = (TestNode::open(&settings), origin());
    let (mut client, _) = client(&node).await;
    let post = head(Method::POST, &origin.url("/upload"), "");
    client
        .send([
            get(1, &origin.url("/gate?key=shut")),
            open(2, &post, false),
            data(2, vec![0; 10_000], false),
            Frame::Ping(b"taken"[..].into()),
        ])
        .await;
    origin.wait_until(|stats| stats.in_flight == 1).await;
    while !matches!(client.next().await, Frame::Pong(_)) {}
    client.cut();
    let evicted = origin.wait_until(|stats| stats.aborted == 1);
    let evicted = tokio::time::timeout(PATIENCE, evicted).await;
    assert!(evicted.is_ok(), "10,000 bytes are more than it may hold");
    node.stop().await;
}
