//! Frames: kinds, pings, limits, bad clients, and the gateway's own end.

use fetchway_node::Ended;
use fetchway_test_origins::Api;
use fetchway_testkit::{Raw, Socket};
use http::Method;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::gateway;

#[tokio::test]
async fn binary_messages_are_octets_and_text_is_text() {
    let api = Api::scripted(|request| async move {
        match request.method {
            Method::GET => fetchway_test_origins::ok("ok"),
            _ => {
                let mut answer = fetchway_test_origins::ok(request.body.clone());
                if let Some(kind) = request.headers.get("content-type") {
                    answer.headers_mut().insert("content-type", kind.clone());
                }
                answer
            }
        }
    });
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
    let api = Api::echo();
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
    let api = Api::echo();
    let (node, addr) = gateway(&api, "max-message = \"1KiB\"");
    let mut client = Socket::connect(addr, "/alice").await;
    client.send(&"x".repeat(1_025)).await;
    assert_eq!(client.end().await.expect("a Close").0, 1009);
    drop(client);
    api.until(|requests| requests.iter().any(|r| r.method == Method::DELETE))
        .await;
    node.stop().await;
}

/// The header of a masked frame, its key being zero, that announces so many bytes.
fn header(first: u8, len: u64) -> Vec<u8> {
    let mut header = vec![first, 0xFF];
    header.extend_from_slice(&len.to_be_bytes());
    header.extend_from_slice(&[0; 4]);
    header
}

#[tokio::test]
async fn a_header_over_the_limit_closes_before_its_payload_comes() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "max-message = \"100KiB\"");
    let (mut long, _) = Raw::connect(addr, "/long", "").await;
    let mut bytes = fetchway_testkit::masked(0x81, b"before");
    bytes.extend(header(0x82, 1 << 40));
    long.bytes(&bytes).await;
    let answer = long.frame().await.expect("an answer");
    assert_eq!(answer.payload, b"before");
    let close = long.frame().await.expect("a Close");
    assert_eq!(close.close_code(), Some(1009));
    let asked = api.until_count(3).await;
    assert_eq!(asked[2].method, Method::DELETE);
    // In fragments it is the sum that counts.
    let (mut pieces, _) = Raw::connect(addr, "/pieces", "").await;
    let mut bytes = header(0x02, 70_000);
    bytes.resize(bytes.len() + 70_000, b'x');
    bytes.extend(header(0x00, 70_000));
    pieces.bytes(&bytes).await;
    let close = pieces.frame().await.expect("a Close");
    assert_eq!(close.close_code(), Some(1009));
    drop((long, pieces));
    node.stop().await;
}

/// A client that is told so in the middle of its message sends the rest, as framing demands, and then its
/// Close, which ends the connection at once. Nothing in between is taken for a frame.
#[tokio::test]
async fn the_rest_of_a_long_message_is_passed_over() {
    let api = Api::echo();
    let (node, addr) = gateway(
        &api,
        "max-message = \"1KiB\"\nping-interval = \"1h\"\nidle-timeout = \"2h\"",
    );
    let (mut long, _) = Raw::connect(addr, "/long", "").await;
    long.bytes(&header(0x82, 300_000)).await;
    let close = long.frame().await.expect("a Close");
    assert_eq!(close.close_code(), Some(1009));
    // Looks like Closes and pings, if it were read as frames.
    let looks = [0x88, 0x80, 0, 0, 0, 0, 0x89, 0x80, 0, 0, 0, 0].repeat(25_000);
    long.bytes(&looks).await;
    long.bytes(&fetchway_testkit::masked(0x89, b"no pong any more"))
        .await;
    // Only its Close ends the connection, without a word: it has had ours.
    long.bytes(&fetchway_testkit::masked(0x88, &[0x03, 0xF1]))
        .await;
    assert_eq!(long.frame().await, None);
    node.stop().await;
}

/// One that is sent away and neither says Close nor leaves is cut off, however much it sends.
#[tokio::test]
async fn one_that_goes_on_sending_after_a_close_is_cut_off() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    let (mut bad, _) = Raw::connect(addr, "/bad", "").await;
    bad.bytes(b"\x81\x01a").await;
    let close = bad.frame().await.expect("a Close");
    assert_eq!(close.close_code(), Some(1002));
    let pong = fetchway_testkit::masked(0x8A, b"still here");
    let sending = async { while bad.try_bytes(&pong).await {} };
    let cut = tokio::time::timeout(fetchway_testkit::PATIENCE, sending).await;
    cut.expect("it is cut off");
    node.stop().await;
}

/// Frames that come along with the handshake, and right behind it, are read as one stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_along_with_the_handshake_comes_first() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    let frames: Vec<u8> = (0..20)
        .flat_map(|at| fetchway_testkit::masked(0x81, format!("message {at}").as_bytes()))
        .collect();
    for at in 0..100 {
        let stream = tokio::net::TcpStream::connect(addr).await;
        let (early, late) = frames.split_at(at);
        let target = format!("/{at}");
        let stream = stream.expect("the gateway accepts");
        let (mut client, _) = Raw::connect_on(stream, &[], &target, "", early).await;
        client.bytes(late).await;
        for at in 0..20 {
            let answer = client.frame().await.expect("an answer").payload;
            assert_eq!(String::from_utf8_lossy(&answer), format!("message {at}"));
        }
    }
    node.stop().await;
}

#[tokio::test]
async fn pings_are_answered_with_their_payload() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    let mut client = Socket::connect(addr, "/alice").await;
    client.send_message(Message::Ping("payload".into())).await;
    assert_eq!(client.next().await, Ok(Message::Pong("payload".into())));
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_then_closed() {
    let api = Api::echo();
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
    let api = Api::echo();
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
    let api = Api::echo();
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
    let api = Api::echo();
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
    let api = Api::echo();
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
    let api = Api::echo();
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
    let api = Api::echo();
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

/// The API does not answer, so the client's DELETE cannot be sent within the grace.
#[tokio::test]
async fn clients_that_are_left_after_the_grace_are_disconnected() {
    let api = Api::scripted(|request| async move {
        match request.method {
            Method::GET => fetchway_test_origins::ok("ok"),
            _ => std::future::pending().await,
        }
    });
    let (node, addr) = gateway(&api, "[shutdown]\ngrace = \"200ms\"");
    let mut client = Socket::connect(addr, "/alice").await;
    client.send("held").await;
    api.until_count(2).await;
    let stopping = tokio::spawn(node.stop());
    assert_eq!(client.end().await.expect("a Close").0, 1012);
    assert_eq!(stopping.await.expect("no panic"), Ended::GraceOver);
    assert_eq!(api.lines(""), ["GET /alice", "POST /alice held"]);
}

/// One that sends without end keeps nobody waiting: the others of its reactor are served meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_client_keeps_nobody_waiting() {
    let api = Api::echo();
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
