//! Uploads go on whether or not anybody reads the response.

use std::path::Path;

use fetchway_test_origins::{Kind, TestOrigin, filler};
use fetchway_testkit::{Binary, TestNode, data, get, head, open};
use fetchway_wire::v1::session::floor;
use fetchway_wire::v1::{Frame, Hello};
use http::Method;

use crate::{client, origin};

/// More than the relay lets come before its origin has taken it, and than any buffer between holds.
const UPLOAD: usize = 3 << 20;
const PIECE: usize = 16_000;

/// An origin that speaks HTTP/2 over TLS, and a node that trusts it.
fn over_tls(test: &str, settings: &[(&str, &str)]) -> (TestOrigin, TestNode) {
    let origin = TestOrigin::builder().tls().start().expect("a free port");
    let name = format!("ca-of-{test}-{}.pem", std::process::id());
    let ca = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let pem = origin.certificate().expect("it speaks TLS").ca_pem();
    std::fs::write(&ca, pem).expect("a temporary file");
    let file = ca.display().to_string();
    let settings = [settings, &[("fetch.ca-file", &*file)]].concat();
    let node = TestNode::open(&settings);
    // It was read when the node started.
    std::fs::remove_file(ca).expect("it is there");
    (origin, node)
}

/// Sends a whole body as its limits allow. What comes meanwhile is acknowledged, but no limit of the
/// response's is raised.
async fn upload(client: &mut Binary, stream: u64, hello: &Hello) {
    let first = [hello.session_window, hello.stream_window];
    let (mut sent, mut limits) = (0, first.map(|limit| limit.expect("a relay says it")));
    // The heads count in the session.
    let heads = 2_000;
    while sent < UPLOAD {
        let piece = PIECE.min(UPLOAD - sent);
        while (sent + piece + heads) as u64 > limits[0] || (sent + piece) as u64 > limits[1] {
            if let Frame::Limit { stream: of, bytes } = client.next().await {
                match of {
                    0 => limits[0] = bytes,
                    of if of == stream => limits[1] = bytes,
                    _ => {}
                }
            }
            client.acknowledge().await;
        }
        sent += piece;
        client
            .send([data(stream, vec![b'x'; piece], sent == UPLOAD)])
            .await;
    }
}

/// The bytes of the response from `from` on, up to its end; limits are raised now.
async fn rest(client: &mut Binary, stream: u64) -> Vec<u8> {
    let limits = [0, stream].map(|stream| Frame::Limit {
        stream,
        bytes: 1 << 40,
    });
    client.send(limits).await;
    let mut body = Vec::new();
    loop {
        if let Frame::Data { bytes, end, .. } = client.of_stream(stream).await {
            body.extend_from_slice(&bytes);
            client.acknowledge().await;
            if end {
                return body;
            }
        }
    }
}

/// A client that reads only when it has sent all, and an origin that answers while it reads.
async fn one_reads_late(node: TestNode, origin: &TestOrigin) {
    let (mut client, hello) = client(&node).await;
    let url = origin.url("/duplex?n=1048576&seed=5");
    client
        .send([open(1, &head(Method::POST, &url, ""), false)])
        .await;
    upload(&mut client, 1, &hello).await;
    origin
        .wait_until(|stats| stats.bytes_received == UPLOAD as u64)
        .await;
    // What has come before is in the frames that were passed over.
    let body = rest(&mut client, 1).await;
    let told = format!("{{\"bytes\":{UPLOAD},\"checksum\":");
    let end = body.len() - told.len() - "\"00000000\"}".len();
    assert!(
        body[end..].starts_with(told.as_bytes()),
        "{:?}",
        &body[end..]
    );
    let expected = filler(Kind::Text, 5, 1 << 20).to_vec();
    assert!(expected.ends_with(&body[..end]), "{end} bytes");
    assert!(end as u64 >= (1 << 20) - floor::STREAM_WINDOW);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_late_over_http1() {
    let origin = origin();
    one_reads_late(TestNode::open(&[]), &origin).await;
}

#[tokio::test]
async fn a_client_that_reads_late_over_http2() {
    let (origin, node) = over_tls("reads-late", &[]);
    one_reads_late(node, &origin).await;
}

/// The answers of others fill what the session may hold, so that the response can't even begin.
async fn one_whose_session_is_full(node: TestNode, origin: &TestOrigin) {
    let (mut client, hello) = client(&node).await;
    client
        .send([get(1, &origin.url("/bytes?n=10000000&seed=1"))])
        .await;
    // Nobody raises its limit, so that 32 KiB and more wait behind the first 16.
    let mut seen = 0;
    while seen < 16 << 10 {
        if let Frame::Data { bytes, .. } = client.of_stream(1).await {
            seen += bytes.len();
        }
    }
    // What is sent is held until it is acknowledged. Then it is what waits that fills the session.
    client.acknowledge().await;
    client.send([Frame::Ping(b"so far"[..].into())]).await;
    while !matches!(client.next().await, Frame::Pong(_)) {}
    node.until_lane(|lane| lane.paused > 0).await;
    let url = origin.url("/duplex?n=10");
    client
        .send([open(3, &head(Method::POST, &url, ""), false)])
        .await;
    upload(&mut client, 3, &hello).await;
    origin
        .wait_until(|stats| stats.bytes_received == UPLOAD as u64)
        .await;
    client.cut();
    node.stop().await;
}

#[tokio::test]
async fn a_session_that_holds_enough_over_http1() {
    let origin = origin();
    let node = TestNode::open(&[("relay.max-answers", "16KiB")]);
    one_whose_session_is_full(node, &origin).await;
}

#[tokio::test]
async fn a_session_that_holds_enough_over_http2() {
    let settings = [("relay.max-answers", "16KiB")];
    let (origin, node) = over_tls("holds-enough", &settings);
    one_whose_session_is_full(node, &origin).await;
}
