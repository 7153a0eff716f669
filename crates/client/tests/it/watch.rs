//! Who watches is told which relays can be used.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use fetchway_client::{By, ErrorName, RelayNews, RelayWatch};
use http::StatusCode;
use tokio::net::TcpListener;

use crate::support::{Relay, builder, client, get, soon};

async fn news(watch: &mut RelayWatch) -> RelayNews {
    soon("news", watch.next()).await.expect("it is not closed")
}

async fn assert_nothing_new(watch: &mut RelayWatch) {
    let mut next = pin!(watch.next());
    let polled = std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
    assert!(polled.is_pending(), "{polled:?}");
}

#[tokio::test]
async fn relays_are_told_of_as_they_come_and_go() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    let builder = builder(&[&second, &first]).resume_within(Duration::ZERO);
    let client = builder.build().expect("a client");
    // Nobody listens there any more.
    drop(second);
    let mut watch = client.watch();
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    let mut peer = first.peer().await;
    let connected = soon("a relay", connecting).await.expect("no panic");
    connected.expect("one is enough");
    // What is reached is told first.
    let [there, gone] = [news(&mut watch).await, news(&mut watch).await];
    assert!(there.reached.is_ok() && there.relay == first.url && there.first);
    let error = gone.reached.expect_err("nobody listens");
    assert_eq!(error.name, ErrorName::ConnectionRefused, "{error}");
    assert!(gone.first && gone.open == 1);

    let fetch = tokio::spawn(client.fetch(get()));
    peer.opened().await;
    let (url, addr) = (first.url.clone(), first.listener.local_addr());
    drop((first, peer));
    let lost = news(&mut watch).await;
    let error = lost.reached.expect_err("it was lost");
    assert_eq!(
        (&lost.relay, lost.first, lost.open, error.by),
        (&url, false, 0, By::Client)
    );
    let listener = TcpListener::bind(addr.expect("a bound listener")).await;
    let first = Relay {
        listener: listener.expect("the port is free"),
        url,
    };
    let mut peer = first.peer().await;
    let back = news(&mut watch).await;
    assert!(back.reached.is_ok() && !back.first && back.open == 1);
    assert_eq!(back.relay, first.url);
    let (stream, ..) = peer.opened().await;
    peer.answer(stream, "done").await;
    let response = soon("an answer", fetch).await.expect("no panic");
    assert_eq!(response.expect("a response").status(), StatusCode::OK);
    assert_nothing_new(&mut watch).await;
    drop(client);
    assert!(soon("the end", watch.next()).await.is_none());
}

#[tokio::test]
async fn a_session_that_goes_on_is_no_news_and_a_relay_that_refuses_is_at_once() {
    let relay = Relay::start().await;
    // Longer than this test waits.
    let builder = builder(&[&relay]).resume_within(Duration::from_secs(600));
    let client = builder.build().expect("a client");
    let mut watch = client.watch();
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    assert!(news(&mut watch).await.reached.is_ok());
    let (stream, ..) = peer.opened().await;
    let session = peer.cut();
    let mut peer = relay.socket().await.resume(session).await;
    peer.answer(stream, "done").await;
    let response = soon("an answer", fetch).await.expect("no panic");
    assert_eq!(response.expect("a response").status(), StatusCode::OK);
    assert_nothing_new(&mut watch).await;

    let _fetch = tokio::spawn(client.fetch(get()));
    peer.opened().await;
    drop((relay, peer));
    let error = news(&mut watch).await.reached.expect_err("it is gone");
    assert_eq!(error.name, ErrorName::ConnectionRefused, "{error}");
}

#[tokio::test]
async fn a_relay_that_is_lost_while_nothing_needs_it_is_told_of_without_a_dial() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let mut watch = client.watch();
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    let peer = relay.peer().await;
    let connected = soon("a relay", connecting).await.expect("no panic");
    connected.expect("it is there");
    assert!(news(&mut watch).await.reached.is_ok());
    drop(peer);
    let error = news(&mut watch).await.reached.expect_err("it is gone");
    assert_eq!(error.name, ErrorName::DestinationUnavailable, "{error}");
}
