//! WebSocket frames that a well-behaved library would not send, or not in this order.

use fetchway_testkit::{Raw, TestNode, masked};
use serde_json::{Value, json};

use crate::{failure, origin};

async fn answer(raw: &mut Raw) -> Value {
    let frame = raw.frame().await.expect("an answer");
    assert_eq!(frame.first, 0x81, "one unfragmented text frame: {frame:?}");
    serde_json::from_slice(&frame.payload).expect("JSON")
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload() {
    let node = TestNode::open(&[]);
    let (mut raw, _) = Raw::connect(node.addr(), "/", "").await;
    for payload in [&b""[..], b"here?", &[7; 125]] {
        raw.send(0x89, payload).await;
        let pong = raw.frame().await.expect("a pong");
        assert_eq!((pong.first, &pong.payload[..]), (0x8A, payload));
    }
    drop(raw);
    node.stop().await;
}

#[tokio::test]
async fn a_message_may_come_in_fragments_with_pings_between() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut raw, _) = Raw::connect(node.addr(), "/", "").await;
    let request = json!({ "id": "é", "url": origin.url("/echo") }).to_string();
    let bytes = request.as_bytes();
    raw.send(0x01, &bytes[..1]).await;
    raw.send(0x89, b"p").await;
    assert_eq!(raw.frame().await.expect("a pong").first, 0x8A);
    // The two bytes of the é come in different frames.
    for piece in bytes[1..].chunks(1) {
        raw.send(0x00, piece).await;
    }
    raw.send(0x80, b"").await;
    assert_eq!(answer(&mut raw).await["id"], "é");
    drop(raw);
    node.stop().await;
}

#[tokio::test]
async fn an_oversized_message_is_skipped_and_the_rest_is_served() {
    let (node, origin) = (TestNode::open(&[("relay.max-message", "64KiB")]), origin());
    let (mut raw, _) = Raw::connect(node.addr(), "/", "").await;
    let request = json!({ "id": 1, "url": origin.url("/gate?key=k") }).to_string();
    raw.send(0x81, request.as_bytes()).await;
    let large = vec![b' '; (64 << 10) + 1];
    raw.send(0x81, &large).await;
    assert_eq!(failure(&answer(&mut raw).await), "limit_exceeded");
    // The same in fragments, each of them under the limit, with a ping between.
    raw.send(0x01, &large[..40_000]).await;
    raw.send(0x00, &large[..40_000]).await;
    raw.send(0x89, b"").await;
    assert_eq!(raw.frame().await.expect("a pong").first, 0x8A);
    raw.send(0x80, b"}").await;
    let refused = answer(&mut raw).await;
    assert_eq!(
        (failure(&refused), &refused["id"]),
        ("limit_exceeded", &json!("unknown"))
    );
    // At the limit is not over it: spaces are no JSON.
    raw.send(0x81, &large[1..]).await;
    assert_eq!(answer(&mut raw).await["error"], "Invalid JSON in request");
    // What was in flight before is not lost.
    origin.wait_until(|stats| stats.in_flight == 1).await;
    origin.open_gate("k").expect("few keys");
    assert_eq!(answer(&mut raw).await["id"], 1);
    drop(raw);
    node.stop().await;
}

#[tokio::test]
async fn a_breach_of_the_protocol_is_closed_with_its_code() {
    let node = TestNode::open(&[]);
    let unmasked = b"\x81\x02{}".to_vec();
    let overlong_ping = masked(0x89, &[0; 126]);
    for (what, bytes, code) in [
        ("unmasked", unmasked, 1002),
        ("a reserved bit", masked(0xC1, b"{}"), 1002),
        ("an unknown opcode", masked(0x83, b"{}"), 1002),
        ("a continuation of nothing", masked(0x80, b"{}"), 1002),
        ("a fragmented ping", masked(0x09, b""), 1002),
        ("a ping of 126 bytes", overlong_ping, 1002),
        (
            "a new message within one",
            [masked(0x01, b"{"), masked(0x81, b"{}")].concat(),
            1002,
        ),
        ("a text that is not UTF-8", masked(0x81, b"\"\xff\""), 1007),
        ("a close code of one byte", masked(0x88, b"\x03"), 1002),
        (
            "a close code that may not be sent",
            masked(0x88, &1005u16.to_be_bytes()),
            1002,
        ),
        (
            "a length of 2^63",
            [&[0x82, 0xFF, 0x80][..], &[0; 11]].concat(),
            1002,
        ),
    ] {
        let (mut raw, _) = Raw::connect(node.addr(), "/", "").await;
        // What came before the breach is answered.
        raw.send(0x81, b"no JSON").await;
        assert_eq!(answer(&mut raw).await["id"], "unknown");
        raw.bytes(&bytes).await;
        let close = raw.frame().await.expect("a Close");
        assert_eq!(close.close_code(), Some(code), "{what}: {close:?}");
        raw.send(0x88, &code.to_be_bytes()).await;
        assert_eq!(raw.frame().await, None, "{what}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_close_is_answered_and_ends_the_session() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut raw, _) = Raw::connect(node.addr(), "/", "").await;
    let request = json!({ "id": 1, "url": origin.url("/gate?key=never") }).to_string();
    raw.send(0x81, request.as_bytes()).await;
    origin.wait_until(|stats| stats.in_flight == 1).await;
    raw.send(0x88, &1000u16.to_be_bytes()).await;
    assert_eq!(
        raw.frame().await.and_then(|frame| frame.close_code()),
        Some(1000)
    );
    assert_eq!(raw.frame().await, None);
    origin.wait_until(|stats| stats.aborted == 1).await;
    drop(raw);
    node.stop().await;
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_then_closed() {
    let node = TestNode::open(&[
        ("relay.ping-interval", "20ms"),
        ("relay.idle-timeout", "200ms"),
    ]);
    let (mut raw, _) = Raw::connect(node.addr(), "/", "").await;
    let mut pings = 0;
    // For longer than the idle timeout every ping is answered, and the session lives.
    while pings < 30 {
        assert_eq!(raw.frame().await.expect("a ping").first, 0x89);
        raw.send(0x8A, b"").await;
        pings += 1;
    }
    let close = loop {
        let frame = raw.frame().await.expect("a Close");
        if frame.first != 0x89 {
            break frame;
        }
    };
    assert_eq!(close.close_code(), Some(1008), "{close:?}");
    drop(raw);
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_after_the_stall_limit() {
    let node = TestNode::open(&[
        ("relay.write-stall", "200ms"),
        ("relay.max-answers", "64MiB"),
    ]);
    let origin = origin();
    let mut stalled = node.client().await;
    // More than any socket buffer takes.
    for id in 0..32 {
        stalled.get(id, &origin.url("/bytes?n=2097152")).await;
    }
    let closed = "fetchway_sessions_closed_total{reason=\"stalled\"}";
    while node.metric(closed).await != Some(1.0) {}
    // Cut off within a frame: there was no room for a Close.
    let mut whole = 0;
    while let Some(message) = stalled.frame().await {
        whole += message.len() >> 21;
    }
    assert!(whole < 32, "{whole} answers");
    origin.wait_until(|stats| stats.in_flight == 0).await;
    drop(stalled);
    node.stop().await;
}
