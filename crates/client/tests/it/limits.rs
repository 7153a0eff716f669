//! When there is no stream to be had.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use fetchway_client::ErrorName;
use fetchway_wire::v1::Config;
use http::Method;

use crate::support::{Relay, builder, client, get, soon, text, with_body};

/// The least that a relay may allow at once.
const STREAMS: usize = 100;

fn few() -> Config {
    Config {
        streams: STREAMS as u64,
        ..Config::default()
    }
}

#[tokio::test]
async fn fetches_wait_in_turn_for_a_free_stream() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let fetches: Vec<_> = (0..3 * STREAMS)
        .map(|at| {
            let mut request = get();
            request.headers_mut().insert("at", at.into());
            tokio::spawn(client.fetch(request))
        })
        .collect();
    let mut peer = relay.session(few()).await;
    let mut open = std::collections::VecDeque::new();
    let mut order = Vec::new();
    for _ in 0..STREAMS {
        let (stream, head, _) = peer.opened().await;
        order.push(head.request.headers["at"].clone());
        open.push_back(stream);
    }
    // Each that ends lets the next one come; more would be a breach.
    while let Some(stream) = open.pop_front() {
        peer.answer(stream, "done").await;
        if order.len() < fetches.len() {
            let (stream, head, _) = peer.opened().await;
            order.push(head.request.headers["at"].clone());
            open.push_back(stream);
        }
    }
    let expected: Vec<http::HeaderValue> = (0..fetches.len()).map(Into::into).collect();
    assert_eq!(order, expected);
    for fetch in fetches {
        let response = soon("an answer", fetch)
            .await
            .expect("no panic")
            .expect("a response");
        assert_eq!(text(response).await.expect("a body"), "done");
    }
}

#[tokio::test]
async fn waiting_is_bounded_in_number_and_time() {
    let relay = Relay::start().await;
    // All wait before the first socket is open.
    let builder = builder(&[&relay]).queue(STREAMS + 2, Duration::from_millis(500));
    let client = builder.build().expect("a client");
    let open: Vec<_> = (0..STREAMS)
        .map(|_| tokio::spawn(client.fetch(get())))
        .collect();
    let mut peer = relay.session(few()).await;
    for _ in 0..STREAMS {
        peer.opened().await;
    }
    let mut waiting = Vec::new();
    for _ in 0..STREAMS + 2 {
        let mut fetch = Box::pin(client.fetch(get()));
        assert!(poll(&mut fetch).await.is_pending());
        waiting.push(fetch);
    }
    let error = soon("an end", client.fetch(get()))
        .await
        .expect_err("the queue is full");
    assert_eq!(error.name, ErrorName::QueueFull);
    // Whoever leaves makes room.
    drop(waiting.pop());
    let mut last = Box::pin(client.fetch(get()));
    assert!(poll(&mut last).await.is_pending());
    let error = soon("an end", last)
        .await
        .expect_err("no stream becomes free");
    assert_eq!(error.name, ErrorName::QueueTimeout);
    drop(open);
}

async fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

#[tokio::test]
async fn relays_that_cannot_be_reached_are_told_of() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let url = format!("ws://{}/", free.local_addr().expect("a bound listener"));
    drop(free);
    let builder = fetchway_client::Client::builder().relay(url);
    let client = builder
        .queue(2, Duration::from_millis(300))
        .build()
        .expect("a client");
    let error = soon("an end", client.connect())
        .await
        .expect_err("nobody is there");
    assert_eq!(error.name, ErrorName::ConnectionRefused);
    let error = soon("an end", client.fetch(get()))
        .await
        .expect_err("nobody is there");
    assert_eq!(error.name, ErrorName::ConnectionRefused);
    assert!(error.detail.contains("within 300ms"), "{error}");
}

#[tokio::test]
async fn a_relay_that_leaves_finishes_what_it_has_and_gets_no_more() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    let client = client(&[&first, &second]);
    let seen = tokio::spawn(client.fetch(get()));
    // The second relay's handshake is not answered yet: all goes to the first.
    let mut leaving = first.peer().await;
    let (stream, ..) = leaving.opened().await;
    let unseen = tokio::spawn(client.fetch(with_body(Method::POST, "body")));
    leaving.opened().await;
    leaving.go_away(stream).await;
    let mut staying = second.peer().await;
    let (moved, head, _) = staying.opened().await;
    assert_eq!(
        (head.request.method, staying.body().await),
        (Method::POST, b"body".to_vec())
    );
    staying.answer(moved, "moved").await;
    let response = soon("an answer", unseen)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(text(response).await.expect("a body"), "moved");
    let later = tokio::spawn(client.fetch(get()));
    let (stream_later, ..) = staying.opened().await;
    staying.answer(stream_later, "later").await;
    let response = soon("an answer", later)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(text(response).await.expect("a body"), "later");
    leaving.answer(stream, "finished").await;
    let response = soon("an answer", seen)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(text(response).await.expect("a body"), "finished");
    // With the last of its fetches the session is over.
    let code = loop {
        // The body of the fetch that it did not look at has come as well.
        if let Err(code) = leaving.next().await {
            break code;
        }
    };
    assert_eq!(code, Some(1000));
}

#[tokio::test]
async fn sockets_are_closed_with_the_client_when_their_fetches_have_ended() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    peer.head(stream, 200, false).await;
    let response = soon("a head", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    let closing = tokio::spawn(client.close(crate::support::PATIENCE));
    peer.piece(stream, "last").await;
    peer.end(stream).await;
    assert_eq!(
        soon("the body", text(response)).await.expect("a body"),
        "last"
    );
    assert_eq!(soon("a close", peer.closed()).await, Some(1000));
    drop(peer);
    assert!(
        soon("an end", closing).await.expect("no panic"),
        "all sockets are closed"
    );
}
