//! Whoever stops waiting cancels.

use std::collections::HashSet;

use fetchway_client::{By, ErrorName};
use fetchway_policy::FetchError;
use fetchway_wire::v1::Config;
use http::Request;

use crate::support::{Relay, URL, builder, channel, client, get, soon, text};

#[tokio::test]
async fn dropping_the_future_cancels() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    fetch.abort();
    assert_eq!(soon("a cancel", peer.cancelled()).await, stream);
}

#[tokio::test]
async fn dropping_the_body_cancels_and_gives_its_room_back() {
    let relay = Relay::start().await;
    let client = builder(&[&relay])
        .windows(1 << 20, 256 << 10)
        .build()
        .expect("a client");
    let mut first = None;
    // Together more than the session's window: what is dropped must not count.
    for _ in 0..20 {
        let fetch = tokio::spawn(client.fetch(get()));
        if first.is_none() {
            first = Some(relay.peer().await);
        }
        let peer = first.as_mut().expect("a session");
        let (stream, ..) = peer.opened().await;
        peer.head(stream, 200, false).await;
        let response = soon("a head", fetch)
            .await
            .expect("no panic")
            .expect("a response");
        let mut body = response.into_body();
        peer.piece(stream, vec![b'x'; 200 << 10]).await;
        let piece = soon("a piece", body.chunk()).await.expect("a body");
        assert!(piece.is_some());
        drop(body);
        assert_eq!(soon("a cancel", peer.cancelled()).await, stream);
    }
}

#[tokio::test]
async fn cancels_keep_to_the_ration() {
    const FETCHES: usize = 1_200;
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let config = Config {
        streams: 2_000,
        ..Config::default()
    };
    let fetches: Vec<_> = (0..FETCHES)
        .map(|_| tokio::spawn(client.fetch(get())))
        .collect();
    let mut peer = relay.session(config).await;
    for _ in 0..FETCHES {
        peer.opened().await;
    }
    for fetch in &fetches {
        fetch.abort();
    }
    // Its machine would end the session at the first that is too many.
    let mut cancelled = HashSet::new();
    for _ in 0..FETCHES {
        assert!(cancelled.insert(soon("a cancel", peer.cancelled()).await));
    }
}

#[tokio::test]
async fn a_body_that_fails_cancels() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let (pieces, body) = channel();
    let fetch = tokio::spawn(client.fetch(Request::post(URL).body(body).expect("a request")));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    let broken = FetchError::new(ErrorName::DnsError, "the disk is gone");
    pieces.send(Err(broken)).await.expect("it is read");
    assert_eq!(soon("a cancel", peer.cancelled()).await, stream);
    let error = soon("an end", fetch)
        .await
        .expect("no panic")
        .expect_err("it failed");
    assert_eq!((error.name, error.by), (ErrorName::Cancelled, By::Body));
    assert!(error.detail.contains("the disk is gone"), "{error}");
    // The same when the response has begun.
    let (pieces, body) = channel();
    let fetch = tokio::spawn(client.fetch(Request::post(URL).body(body).expect("a request")));
    let (stream, ..) = peer.opened().await;
    peer.head(stream, 200, false).await;
    let response = soon("a head", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    let broken = FetchError::new(ErrorName::DnsError, "the disk is gone");
    pieces.send(Err(broken)).await.expect("it is read");
    assert_eq!(soon("a cancel", peer.cancelled()).await, stream);
    let error = soon("an end", text(response)).await.expect_err("it failed");
    assert_eq!(error.name, ErrorName::Cancelled);
}

#[tokio::test]
async fn dropping_the_response_ends_an_upload_that_waits() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let (pieces, body) = channel();
    let fetch = tokio::spawn(client.fetch(Request::post(URL).body(body).expect("a request")));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    peer.head(stream, 200, false).await;
    let response = soon("a head", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    drop(response);
    soon("the end of the upload", pieces.closed()).await;
    assert_eq!(soon("a cancel", peer.cancelled()).await, stream);
}

#[tokio::test]
async fn a_response_that_goes_on_after_its_requests_body_failed_is_not_taken_for_whole() {
    const OTHERS: usize = 2_000;
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let config = Config {
        streams: 2 * OTHERS as u64,
        ..Config::default()
    };
    let (pieces, body) = channel();
    let fetch = tokio::spawn(client.fetch(Request::post(URL).body(body).expect("a request")));
    let mut peer = relay.session(config).await;
    let (stream, ..) = peer.opened().await;
    peer.head(stream, 200, false).await;
    let response = soon("a head", fetch).await.expect("no panic");
    let response = response.expect("a response");
    peer.piece(stream, "begun, ").await;
    peer.settled().await;
    let others: Vec<_> = (0..OTHERS)
        .map(|_| tokio::spawn(client.fetch(get())))
        .collect();
    for _ in 0..OTHERS {
        peer.opened().await;
    }
    // More cancels than the ration has, so that the one that counts is kept back.
    for other in others {
        other.abort();
        assert!(other.await.expect_err("aborted").is_cancelled());
    }
    let broken = FetchError::new(ErrorName::DnsError, "the disk is gone");
    pieces.send(Err(broken)).await.expect("it is read");
    soon("the end of the upload", pieces.closed()).await;
    // The relay cannot know.
    peer.piece(stream, "and ended").await;
    peer.end(stream).await;
    peer.settled().await;
    let error = soon("an end", text(response)).await.expect_err("it failed");
    assert_eq!((error.name, error.by), (ErrorName::Cancelled, By::Body));
}

/// A body that panics when it is told to.
struct Panics(tokio::sync::oneshot::Receiver<()>);

impl http_body::Body for Panics {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        let told = std::task::ready!(std::pin::Pin::new(&mut self.0).poll(cx));
        panic!("a test's body panics: {told:?}");
    }
}

#[tokio::test]
async fn a_body_that_panics_cancels() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let (panic, body) = tokio::sync::oneshot::channel();
    let request = Request::post(URL).body(Panics(body)).expect("a request");
    let fetch = tokio::spawn(client.fetch(request));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    peer.head(stream, 200, false).await;
    let response = soon("a head", fetch).await.expect("no panic");
    panic.send(()).expect("it waits");
    assert_eq!(soon("a cancel", peer.cancelled()).await, stream);
    let error = soon("an end", text(response.expect("a response"))).await;
    let error = error.expect_err("it failed");
    assert_eq!((error.name, error.by), (ErrorName::Cancelled, By::Body));
}
