//! Frames: kinds, pings, limits, bad clients, and the gateway's own end.

use fetchway_node::Ended;
use fetchway_testkit::{Api, Raw, Socket};
use http::Method;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::gateway;

#[tokio::test]
async fn binary_messages_are_octets_and_text_is_text() {
    let api = Api::start(|request| async move {
        match request.method {
            Method::GET => fetchway_testkit::ok("ok"),
            _ => {
                let mut answer = fetchway_testkit::ok(request.body.clone());
                if let Some(kind) = request.headers.get("content-type") {
                    answer.headers_mut().insert("content-type", kind.clone());
                }
                answer
            }
        }
    })
    .await;
    let (node, addr) = gateway(&api, "");
    let mut client = Socket::connect(addr, "/alice").await;
    let bytes = Bytes::from_static(&[0, 159, 146, 150]);
    client.send_message(Message::Binary(bytes.clone())).await;
    assert_eq!(client.next().await, Ok(Message::Binary(bytes)));
    client.send("text").await;
    assert_eq!(client.next().await, Ok(Message::text("text")));
    let requests = api.requests();
    assert_eq!(
        requests[1].field("content-type"),
        "application/octet-stream"
    );
    assert_eq!(
        requests[2].field("content-type"),
        "text/plain; charset=utf-8"
    );
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn large_messages_pass_both_ways() {
    let api = Api::echo().await;
    let (node, addr) = gateway(&api, "");
    let mut client = Socket::connect(addr, "/alice").await;
    for size in [0, 1, 125, 126, 4_096, 65_535, 65_536, 1 << 20] {
        let text = "x".repeat(size);
        client.send(&text).await;
        if size > 0 {
            assert_eq!(client.text().await, text);
        }
    }
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_message_over_the_limit_closes() {
    let api = Api::echo().await;
    let (node, addr) = gateway(&api, "max-message = \"1KiB\"");
    let mut client = Socket::connect(addr, "/alice").await;
    client.send(&"x".repeat(1_025)).await;
    assert_eq!(client.end().await.expect("a Close").0, 1009);
    drop(client);
    api.until(|requests| requests.iter().any(|r| r.method == Method::DELETE))
        .await;
    node.stop().await;
}

#[tokio::test]
async fn pings_are_answered_with_their_payload() {
    let api = Api::echo().await;
    let (node, addr) = gateway(&api, "");
    let mut client = Socket::connect(addr, "/alice").await;
    client.send_message(Message::Ping("payload".into())).await;
    assert_eq!(client.next().await, Ok(Message::Pong("payload".into())));
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_then_closed() {
    let api = Api::echo().await;
    let settings = "ping-interval = \"200ms\"\nidle-timeout = \"1s\"";
    let (node, addr) = gateway(&api, settings);
    // One that answers no ping.
    let (mut silent, answer) = Raw::connect(addr, "/silent", "").await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let mut pings = 0;
    let code = loop {
        match silent.frame().await.expect("a frame") {
            frame if frame.first == 0x89 => pings += 1,
            frame => break frame.close_code(),
        }
    };
    assert_eq!(code, Some(4408));
    assert!(pings >= 1);
    drop(silent);
    node.stop().await;
}

#[tokio::test]
async fn bad_frames_close_with_their_codes() {
    let api = Api::echo().await;
    let (node, addr) = gateway(&api, "");
    for (bytes, code) in [
        (&b"\x81\x01a"[..], 1002),
        (b"\xC1\x81\0\0\0\0a", 1002),
        (b"\x81\x81\0\0\0\0\xFF", 1007),
        (b"\x80\x81\0\0\0\0a", 1002),
    ] {
        let (mut bad, _) = Raw::connect(addr, "/bad", "").await;
        bad.bytes(bytes).await;
        let frame = bad.frame().await.expect("a Close");
        assert_eq!(frame.close_code(), Some(code), "{bytes:?}");
        drop(bad);
    }
    node.stop().await;
}

#[tokio::test]
async fn what_was_sent_before_a_breach_is_answered_and_what_comes_after_it_is_not() {
    let api = Api::echo().await;
    let (node, addr) = gateway(&api, "");
    let (mut bad, _) = Raw::connect(addr, "/bad", "").await;
    let mut bytes = fetchway_testkit::masked(0x81, b"one");
    bytes.extend(fetchway_testkit::masked(0x81, b"two"));
    bytes.extend(fetchway_testkit::masked(0xF1, b"reserved bits"));
    bytes.extend(fetchway_testkit::masked(0x81, b"three"));
    bad.bytes(&bytes).await;
    for answer in [b"one", b"two"] {
        let frame = bad.frame().await.expect("an answer");
        assert_eq!(frame.payload, answer);
    }
    let close = bad.frame().await.expect("a Close");
    assert_eq!(close.close_code(), Some(1002));
    let asked = api.until_count(4).await;
    assert_eq!(asked[3].method, Method::DELETE);
    drop(bad);
    node.stop().await;
}

#[tokio::test]
async fn a_text_is_refused_before_its_end_if_it_cannot_become_utf8() {
    let api = Api::echo().await;
    let (node, addr) = gateway(&api, "");
    let (mut bad, _) = Raw::connect(addr, "/bad", "").await;
    // The first frame of a message that never ends.
    let first = fetchway_testkit::masked(0x01, &[0xCE, 0xBA, 0xF4, 0x90]);
    bad.bytes(&first).await;
    let close = bad.frame().await.expect("a Close");
    assert_eq!(close.close_code(), Some(1007));
    drop(bad);
    node.stop().await;
}

#[tokio::test]
async fn a_message_in_many_pieces_is_one() {
    let api = Api::echo().await;
    let (node, addr) = gateway(&api, "");
    let (mut slow, _) = Raw::connect(addr, "/slow", "").await;
    let mut bytes = fetchway_testkit::masked(0x01, b"he");
    bytes.extend(fetchway_testkit::masked(0x89, b"ping"));
    bytes.extend(fetchway_testkit::masked(0x80, b"llo"));
    for byte in bytes {
        slow.bytes(&[byte]).await;
    }
    assert_eq!(slow.frame().await.expect("a pong").payload, b"ping");
    assert_eq!(slow.frame().await.expect("an answer").payload, b"hello");
    drop(slow);
    node.stop().await;
}

#[tokio::test]
async fn a_client_over_its_rate_waits_and_loses_nothing() {
    let api = Api::echo().await;
    let (node, addr) = gateway(&api, "rate = \"5/s\"\nping-interval = \"1s\"");
    let mut client = Socket::connect(addr, "/alice").await;
    for at in 0..12 {
        client.send(&at.to_string()).await;
    }
    for at in 0..12 {
        assert_eq!(client.text().await, at.to_string());
    }
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_gateway_that_leaves_closes_its_clients_and_tells_the_api() {
    let api = Api::echo().await;
    let (node, addr) = gateway(&api, "drain-spread = \"100ms\"");
    let mut clients = Vec::new();
    for at in 0..20 {
        clients.push(Socket::connect(addr, &format!("/{at}")).await);
    }
    let stopping = tokio::spawn(node.stop());
    for mut client in clients {
        let (code, _) = client.end().await.expect("a Close");
        assert_eq!(code, 1012);
    }
    assert_eq!(stopping.await.expect("no panic"), Ended::Drained);
    let deletes = api.lines("");
    let deletes = deletes.iter().filter(|line| line.starts_with("DELETE"));
    assert_eq!(deletes.count(), 20);
}

/// One that sends without end keeps nobody waiting: the others of its reactor are served meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_client_keeps_nobody_waiting() {
    let api = Api::echo().await;
    let (node, addr) = gateway(&api, "");
    // Enough clients that each reactor has some.
    let mut others = Vec::new();
    for at in 0..8 {
        others.push(Socket::connect(addr, &format!("/other-{at}")).await);
    }
    let (mut flood, _) = Raw::connect(addr, "/flood", "").await;
    let pongs = fetchway_testkit::masked(0x8A, &[b'x'; 125]).repeat(100);
    let flooding = tokio::spawn(async move {
        loop {
            flood.bytes(&pongs).await;
        }
    });
    for _ in 0..20 {
        for other in &mut others {
            other.send("served").await;
            assert_eq!(other.text().await, "served");
        }
    }
    flooding.abort();
    assert!(flooding.await.expect_err("aborted").is_cancelled());
    drop(others);
    node.stop().await;
}
