//! Who waits, and for what.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use fetchway_client::{By, ErrorName};
use fetchway_wire::v1::Config;
use http::StatusCode;

use crate::support::{PATIENCE, Relay, builder, client, get, soon, text};

/// The least that a relay may allow at once.
const STREAMS: usize = 100;

fn few() -> Config {
    Config {
        streams: STREAMS as u64,
        ..Config::default()
    }
}

async fn poll<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test]
async fn a_fetch_that_is_held_and_not_polled_holds_up_nobody() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let open: Vec<_> = (0..STREAMS)
        .map(|_| tokio::spawn(client.fetch(get())))
        .collect();
    let mut peer = relay.session(few()).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(peer.opened().await.0);
    }
    let mut held: Vec<_> = (0..3).map(|_| Box::pin(client.fetch(get()))).collect();
    for fetch in &mut held {
        assert!(poll(fetch.as_mut()).await.is_pending());
    }
    let behind = tokio::spawn(client.fetch(get()));
    // One place becomes free, and nothing else happens.
    peer.answer(streams[0], "done").await;
    let (stream, ..) = soon("the one behind", peer.opened()).await;
    peer.answer(stream, "passed").await;
    let response = soon("an answer", behind).await.expect("no panic");
    let body = text(response.expect("a response")).await;
    assert_eq!(body.expect("a body"), "passed");
    // They have not lost their places.
    let first = tokio::spawn(held.remove(0));
    let (stream, ..) = soon("the first", peer.opened()).await;
    peer.answer(stream, "late").await;
    let response = soon("an answer", first).await.expect("no panic");
    assert_eq!(response.expect("a response").status(), StatusCode::OK);
    drop(open);
}

#[tokio::test]
async fn a_client_that_is_closed_tells_all_who_wait() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let open: Vec<_> = (0..STREAMS)
        .map(|_| tokio::spawn(client.fetch(get())))
        .collect();
    let mut peer = relay.session(few()).await;
    for _ in 0..STREAMS {
        peer.opened().await;
    }
    let mut held = pin!(client.fetch(get()));
    assert!(poll(held.as_mut()).await.is_pending());
    let mut waiting = Box::pin(client.fetch(get()));
    assert!(poll(waiting.as_mut()).await.is_pending());
    let waiting = tokio::spawn(waiting);
    // Those that are under way go on.
    let closing = tokio::spawn(client.close(2 * PATIENCE));
    let ended = soon("an end", waiting).await.expect("no panic");
    let error = ended.expect_err("it is refused");
    assert_eq!((error.name, error.by), (ErrorName::Cancelled, By::Client));
    let error = soon("an end", held).await.expect_err("it is refused");
    assert_eq!(error.name, ErrorName::Cancelled);
    assert!(!closing.is_finished());
    open.iter().for_each(tokio::task::JoinHandle::abort);
    // Nothing is left to wait for.
    let closed = async { while peer.next().await.is_ok() {} };
    soon("a close", closed).await;
    drop(peer);
    assert!(soon("the end", closing).await.expect("no panic"));
}

#[tokio::test]
async fn connecting_is_in_nobodys_way() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let mut connecting = pin!(client.connect());
    assert!(poll(connecting.as_mut()).await.is_pending());
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    let (stream, ..) = soon("a fetch", peer.opened()).await;
    peer.answer(stream, "done").await;
    let response = soon("an answer", fetch).await.expect("no panic");
    assert_eq!(response.expect("a response").status(), StatusCode::OK);
    soon("a relay", connecting).await.expect("it is there");
}

#[tokio::test]
async fn a_relay_that_is_away_is_told_of_as_such() {
    let relay = Relay::start().await;
    let builder = builder(&[&relay]).queue(10, Duration::from_secs(1));
    let client = builder.build().expect("a client");
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    peer.opened().await;
    drop(peer.cut());
    // It knows, as it asks for another socket. Nobody answers any more.
    let socket = relay.socket().await;
    drop(relay);
    drop(socket);
    let error = soon("an end", client.fetch(get())).await;
    let error = error.expect_err("nobody is there");
    assert_eq!(error.name, ErrorName::ConnectionRefused, "{error}");
    assert_eq!(error.by, By::Client);
    let error = soon("an end", client.connect()).await;
    let error = error.expect_err("nobody is there");
    assert_eq!(error.name, ErrorName::ConnectionRefused, "{error}");
    fetch.abort();
}

#[tokio::test]
async fn sockets_are_opened_as_they_are_needed_and_the_least_loaded_is_taken() {
    let relay = Relay::start().await;
    let client = builder(&[&relay]).sockets(3).build().expect("a client");
    let mut fetches = vec![tokio::spawn(client.fetch(get()))];
    let mut first = relay.peer().await;
    first.opened().await;
    // The first is in use, so another is opened; until it is there the first has them all.
    fetches.push(tokio::spawn(client.fetch(get())));
    first.opened().await;
    let mut second = relay.peer().await;
    // It is open to the client when a ping has gone there and back.
    second.settled().await;
    for _ in 0..2 {
        fetches.push(tokio::spawn(client.fetch(get())));
        soon("a fetch on the second", second.opened()).await;
    }
    let mut third = relay.peer().await;
    third.settled().await;
    for _ in 0..2 {
        fetches.push(tokio::spawn(client.fetch(get())));
        soon("a fetch on the third", third.opened()).await;
    }
    drop(fetches);
}
