//! Peers that break the rules: each ends in its close code, and nobody else is disturbed.

use bytes::{BufMut, BytesMut};
use fetchway_test_origins::TestOrigin;
use fetchway_testkit::{Binary, TestNode, data, get, head, open};
use fetchway_wire::v1::frame::Part;
use fetchway_wire::v1::{Frame, GoingAway, Hello, Reset};
use http::Method;
use tokio_tungstenite::tungstenite::Message;

use crate::{client, origin, wide};

/// One who keeps to the rules is served.
async fn undisturbed(node: &TestNode, origin: &TestOrigin) {
    let mut other = wide(node).await;
    other.send([get(1, &origin.url("/echo"))]).await;
    assert_eq!(other.answer(1).await.0.status.as_u16(), 200);
}

async fn closes_with(message: Message, code: u16) {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut client, _) = client(&node).await;
    client.send([get(1, &origin.url("/gate?key=shut"))]).await;
    origin.wait_until(|stats| stats.in_flight == 1).await;
    client.send_message(message).await;
    assert_eq!(client.close_code().await, Some(code));
    // The session is over, and so are its fetches.
    origin.wait_until(|stats| stats.aborted == 1).await;
    undisturbed(&node, &origin).await;
    node.stop().await;
}

fn message(frames: &[Frame]) -> Message {
    let mut bytes = BytesMut::new();
    frames.iter().for_each(|frame| frame.put(&mut bytes));
    Message::binary(bytes.freeze())
}

#[tokio::test]
async fn truncated_and_oversized_frames() {
    closes_with(Message::binary(&b"\x03\x05\x01"[..]), 4400).await;
    let mut long = BytesMut::new();
    long.put_slice(b"\x03\x80\x00\x40\x00");
    long.put_bytes(1, 16 << 10);
    closes_with(Message::binary(long.freeze()), 4400).await;
    closes_with(Message::binary(vec![0x70; (64 << 10) + 1]), 1009).await;
}

#[tokio::test]
async fn frames_out_of_place() {
    let reset = Reset::cancelled();
    for frame in [
        Frame::Hello(Hello::default()),
        data(9, "x", false),
        Frame::Reset { stream: 9, reset },
        Frame::Stop { stream: 1 },
        // Its stream is still the relay's.
        Frame::GoingAway(GoingAway {
            last: 0,
            detail: String::new(),
        }),
        Frame::Ack(99),
        Frame::Limit {
            stream: 9,
            bytes: 1,
        },
        // The body of stream 1 has ended with its head.
        data(1, "x", false),
        get(1, "http://127.0.0.1/"),
    ] {
        closes_with(message(&[frame]), 4400).await;
    }
}

#[tokio::test]
async fn a_text_message() {
    closes_with(Message::text("{}"), 1003).await;
}

#[tokio::test]
async fn more_bytes_than_allowed() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut client, hello) = client(&node).await;
    let window = hello.stream_window.expect("a relay says it");
    client
        .send([open(
            1,
            &head(Method::POST, &origin.url("/gate?key=shut"), ""),
            false,
        )])
        .await;
    // The gate reads no body: a little is taken by buffers, and no limit is raised for long.
    for _ in 0..window / 1_000 + 2_000 {
        if !client
            .feed(message(&[data(1, vec![0; 1_000], false)]))
            .await
        {
            break;
        }
    }
    assert_eq!(client.close_code().await, Some(4413));
    undisturbed(&node, &origin).await;
    node.stop().await;
}

/// Each stream keeps to its own limit, and all of them together pass the session's.
#[tokio::test]
async fn more_bytes_than_the_session_may_send() {
    let settings = [
        ("relay.session-window", "64KiB"),
        ("relay.stream-window", "16KiB"),
        ("lanes.default.concurrency", "1"),
    ];
    let (node, origin) = (TestNode::open(&settings), origin());
    let (mut client, hello) = client(&node).await;
    assert_eq!(hello.session_window, Some(64 << 10));
    // Behind it the others wait for their turn, and no byte of theirs is taken.
    client.send([get(1, &origin.url("/gate?key=shut"))]).await;
    origin.wait_until(|stats| stats.in_flight == 1).await;
    let post = head(Method::POST, &origin.url("/upload"), "");
    for stream in 2..=4 {
        client
            .send([
                open(stream, &post, false),
                data(stream, vec![0; 16_000], false),
            ])
            .await;
    }
    client.send([Frame::Ping(b"so far"[..].into())]).await;
    while !matches!(client.next().await, Frame::Pong(_)) {}
    client
        .send([open(5, &post, false), data(5, vec![0; 16_000], false)])
        .await;
    client
        .send([open(6, &post, false), data(6, vec![0; 10_000], false)])
        .await;
    assert_eq!(client.close_code().await, Some(4413));
    undisturbed(&node, &origin).await;
    node.stop().await;
}

#[tokio::test]
async fn more_unfinished_heads_than_allowed() {
    let begun = |stream| Frame::Block {
        stream,
        part: Part::Open,
        end: true,
        more: true,
        block: vec![1; 16_000].into(),
    };
    let frames: Vec<Frame> = (2..=18).map(begun).collect();
    let (within, over) = frames.split_at(16);
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut client, _) = client(&node).await;
    client.send([get(1, &origin.url("/gate?key=shut"))]).await;
    origin.wait_until(|stats| stats.in_flight == 1).await;
    for frame in within {
        client.send([frame.clone()]).await;
    }
    client.send([Frame::Ping(b"so far"[..].into())]).await;
    while !matches!(client.next().await, Frame::Pong(_)) {}
    client.send(over.iter().cloned()).await;
    assert_eq!(client.close_code().await, Some(4400));
    origin.wait_until(|stats| stats.aborted == 1).await;
    undisturbed(&node, &origin).await;
    node.stop().await;
}

#[tokio::test]
async fn more_streams_than_allowed() {
    let (node, origin) = (TestNode::open(&[("relay.max-in-flight", "200")]), origin());
    let (mut client, hello) = client(&node).await;
    assert_eq!(hello.streams, Some(200));
    for stream in 1..=201 {
        client
            .send([get(stream, &origin.url("/gate?key=shut"))])
            .await;
    }
    assert_eq!(client.close_code().await, Some(4429));
    undisturbed(&node, &origin).await;
    node.stop().await;
}

#[tokio::test]
async fn ten_thousand_opens_without_reading() {
    let (node, origin) = (TestNode::open(&[("relay.max-answers", "1MiB")]), origin());
    let (mut client, _) = client(&node).await;
    for stream in 1..=10_000 {
        client
            .send([get(stream, &origin.url("/bytes?n=20000&seed=1"))])
            .await;
    }
    // Each answer would fit its stream's queue; together they pass what the session may hold, so the
    // others stand unread at the origin.
    node.until_lane(|lane| lane.paused > 0).await;
    undisturbed(&node, &origin).await;
    client.cut();
    node.stop().await;
}

#[tokio::test]
async fn opens_and_cancels_as_fast_as_the_link_allows() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut client, _) = client(&node).await;
    let reset = Reset::cancelled();
    let mut stream = 0;
    let mut open = true;
    while open && stream < 100_000 {
        let mut frames = Vec::new();
        for _ in 0..100 {
            stream += 1;
            frames.push(get(stream, &origin.url("/gate?key=shut")));
            frames.push(Frame::Reset {
                stream,
                reset: reset.clone(),
            });
        }
        open = client.feed(message(&frames)).await;
    }
    assert_eq!(client.close_code().await, Some(4420));
    undisturbed(&node, &origin).await;
    node.stop().await;
}

#[tokio::test]
async fn pings_without_end() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut client, _) = client(&node).await;
    let pings: Vec<Frame> = (0..1_000u64)
        .map(|n| Frame::Ping(n.to_be_bytes().to_vec().into()))
        .collect();
    client.send(pings).await;
    let mut pongs = 0;
    loop {
        if let Frame::Pong(payload) = client.next().await {
            pongs += 1;
            if payload[..] == 999u64.to_be_bytes() {
                break;
            }
        }
    }
    assert!(pongs <= 2, "{pongs} pongs for pings of one message");
    undisturbed(&node, &origin).await;
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn one_that_says_nothing_first() {
    let node = TestNode::open(&[]);
    let mut client = Binary::connect(&format!("ws://{}/", node.addr()), None).await;
    client.send([get(1, "http://127.0.0.1/")]).await;
    assert_eq!(client.close_code().await, Some(4400));
    node.stop().await;
}
