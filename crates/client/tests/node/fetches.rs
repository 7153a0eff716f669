//! What a node does for this client, by binary and by JSON.

use std::time::Duration;

use bytes::Bytes;
use fetchway_client::{By, Client, Encoding, ErrorName, FinalUrl, Options};
use fetchway_test_origins::{Kind, TestOrigin, checksum, filler};
use fetchway_testkit::{PATIENCE, TestNode};
use http::Request;
use http_body_util::{BodyExt as _, Empty, Full};

fn client(node: &TestNode, encoding: Encoding) -> Client {
    let relay = format!("ws://{}/", node.addr());
    let builder = Client::builder().relay(relay).sockets(2);
    builder.encoding(encoding).build().expect("a client")
}

fn get(url: String) -> Request<Empty<Bytes>> {
    Request::get(url).body(Empty::new()).expect("a request")
}

#[tokio::test]
async fn fetches_go_through_in_either_encoding() {
    let origin = TestOrigin::builder().start().expect("an origin");
    let node = TestNode::open(&[]);
    for encoding in [Encoding::Auto, Encoding::Json] {
        let client = client(&node, encoding);
        let response = client
            .fetch(get(origin.url("/redirect?n=2")))
            .await
            .expect("a response");
        assert_eq!(FinalUrl::of(&response), Some(origin.url("/echo").as_str()));
        let whole = filler(Kind::Binary, 5, 300_000).to_vec();
        let request = Request::post(origin.url("/upload")).body(Full::from(whole.clone()));
        let response = client
            .fetch(request.expect("a request"))
            .await
            .expect("a response");
        let seen = response.into_body().bytes(1 << 20).await.expect("a body");
        let seen: serde_json::Value = serde_json::from_slice(&seen).expect("JSON");
        assert_eq!(seen["checksum"], format!("{:08x}", checksum(&whole)));
        let many = (0..100).map(|at| {
            let url = origin.url(&format!("/bytes?n={}&seed={at}&binary=1", at * 1_000));
            (at, tokio::spawn(client.fetch(get(url))))
        });
        for (at, fetch) in many.collect::<Vec<_>>() {
            let response = fetch.await.expect("no panic").expect("a response");
            let body = response.into_body().bytes(1 << 20).await.expect("a body");
            assert!(filler(Kind::Binary, at, at * 1_000).matches(&body));
        }
        let request = get(origin.url("/echo"));
        let fetch = client.fetch_with(request, Options::default().lane("nowhere"));
        let error = fetch.await.expect_err("no such lane");
        assert_eq!(error.name, ErrorName::InvalidRequest, "{error}");
        assert!(client.close(PATIENCE).await);
    }
    node.stop().await;
}

#[tokio::test]
async fn trailers_and_bodies_stream() {
    let origin = TestOrigin::builder().start().expect("an origin");
    let node = TestNode::open(&[]);
    let client = client(&node, Encoding::Auto);
    let mut request = get(origin.url("/trailers?n=10"));
    request
        .headers_mut()
        .insert("te", "trailers".parse().expect("a value"));
    let response = client.fetch(request).await.expect("a response");
    let body = response.into_body().collect().await.expect("a body");
    let sum = checksum(&filler(Kind::Text, 0, 10).to_vec());
    let trailers = body.trailers().expect("trailers");
    assert_eq!(trailers["x-checksum"], format!("{sum:08x}").as_str());
    let url = origin.url("/gate?key=second&after=5&n=10&seed=1");
    let mut body = client
        .fetch(get(url))
        .await
        .expect("a response")
        .into_body();
    let first = body.chunk().await.expect("a body").expect("a piece");
    assert!(
        filler(Kind::Text, 1, 5).matches(&first),
        "it is here before the rest is sent"
    );
    origin.open_gate("second").expect("a gate");
    let rest = body.bytes(100).await.expect("a body");
    assert!(filler(Kind::Text, 1, 10).matches(&[first, rest].concat()));
    // Dropped in the middle: the origin is left.
    let mut body = client
        .fetch(get(origin.url("/stall?after=10")))
        .await
        .expect("a response")
        .into_body();
    body.chunk().await.expect("a body").expect("a piece");
    drop(body);
    let left = origin.wait_until(|stats| stats.aborted == 1);
    tokio::time::timeout(PATIENCE, left)
        .await
        .expect("the origin is left");
    assert!(client.close(Duration::from_secs(10)).await);
    node.stop().await;
}

#[tokio::test]
async fn a_message_of_json_that_is_too_long_fails_and_one_that_fits_goes_through() {
    let origin = TestOrigin::builder().start().expect("an origin");
    let post = |body: Vec<u8>| {
        let request = Request::post(origin.url("/upload")).body(Full::from(body));
        request.expect("a request")
    };
    let node = TestNode::open(&[("relay.max-message", "1MiB")]);
    let narrow = client(&node, Encoding::Json);
    let answer = narrow.fetch(post(vec![b'a'; 2 << 20]));
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    let error = answer.expect("it is answered").expect_err("it is too long");
    assert_eq!(
        (error.name, error.by),
        (ErrorName::LimitExceeded, By::Relay)
    );
    assert!(narrow.close(PATIENCE).await);
    node.stop().await;
    // Each zero takes six bytes in a JSON string.
    let node = TestNode::open(&[]);
    let client = client(&node, Encoding::Json);
    let response = client.fetch(post(vec![0; 9 << 20])).await;
    let body = response.expect("a response").into_body();
    let seen = body.bytes(1 << 20).await.expect("a body");
    let seen: serde_json::Value = serde_json::from_slice(&seen).expect("JSON");
    let sum = checksum(&vec![0; 9 << 20]);
    assert_eq!(seen["checksum"], format!("{sum:08x}"));
    assert!(client.close(PATIENCE).await);
    node.stop().await;
}
