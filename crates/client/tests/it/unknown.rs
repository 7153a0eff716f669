//! A fetch that may have been performed is never reported as if it had not been.

use std::time::Duration;

use fetchway_client::{By, Error, ErrorName};
use fetchway_policy::FetchError;
use fetchway_wire::v1::{Config, Reset};
use http::Method;

use crate::support::{Relay, builder, get, soon, with_body};

/// A relay whose sessions end with their sockets.
fn fleeting() -> Config {
    Config {
        resume_within: Duration::ZERO,
        ..Config::default()
    }
}

fn assert_unknown(error: &Error, why: ErrorName) {
    assert_eq!(
        (error.name, error.by),
        (ErrorName::OutcomeUnknown, By::Client)
    );
    assert!(error.detail.contains(why.as_str()), "{error}");
}

#[tokio::test]
async fn though_no_relay_is_left_to_try() {
    let relay = Relay::start().await;
    let builder = builder(&[&relay]).queue(10, Duration::from_secs(1));
    let client = builder.build().expect("a client");
    let fetch = tokio::spawn(client.fetch(with_body(Method::PUT, "whole")));
    let mut peer = relay.session(fleeting()).await;
    assert_eq!(peer.fetches(1).await.len(), 1);
    drop(peer);
    drop(relay);
    let ended = soon("an end", fetch).await.expect("no panic");
    let error = ended.expect_err("it failed");
    assert_unknown(&error, ErrorName::ConnectionRefused);
    // What was never sent is not of unknown outcome.
    let error = client.fetch(get()).await.expect_err("nobody is there");
    assert_eq!(error.name, ErrorName::ConnectionRefused);
}

#[tokio::test]
async fn though_there_is_no_place_in_the_queue() {
    let relay = Relay::start().await;
    let builder = builder(&[&relay]).queue(0, Duration::from_secs(10));
    let client = builder.build().expect("a client");
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    let mut peer = relay.session(fleeting()).await;
    let connected = soon("a connection", connecting).await;
    connected.expect("no panic").expect("a relay");
    let fetch = tokio::spawn(client.fetch(get()));
    peer.opened().await;
    drop(peer);
    let ended = soon("an end", fetch).await.expect("no panic");
    assert_unknown(&ended.expect_err("it failed"), ErrorName::QueueFull);
}

#[tokio::test]
async fn though_another_relay_refuses_it_or_is_lost_before_it_is_sent() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    let builder = builder(&[&first, &second]).queue(10, Duration::from_secs(10));
    let client = builder.build().expect("a client");
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = first.session(fleeting()).await;
    peer.opened().await;
    drop(peer);
    let mut peer = second.peer().await;
    let (stream, ..) = peer.opened().await;
    let refusal = FetchError::new(ErrorName::QueueTimeout, "the lane is full");
    let reset = Reset::new(bytes::Bytes::new(), &refusal);
    peer.fail(stream, reset).await;
    let ended = soon("an end", fetch).await.expect("no panic");
    assert_unknown(&ended.expect_err("it failed"), ErrorName::QueueTimeout);
}

#[tokio::test]
async fn though_the_client_is_closed() {
    let relay = Relay::start().await;
    let client = builder(&[&relay]).build().expect("a client");
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.session(fleeting()).await;
    peer.opened().await;
    drop(peer);
    // It waits for the next socket, which nobody answers.
    let socket = relay.socket().await;
    let closing = client.close(Duration::from_secs(10));
    assert!(soon("the end", closing).await);
    let ended = soon("an end", fetch).await.expect("no panic");
    assert_unknown(&ended.expect_err("it failed"), ErrorName::Cancelled);
    drop(socket);
}
