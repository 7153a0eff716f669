//! Over JSON: answers that are late, unreadable or nobody's, and bodies that are given again.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use fetchway_client::{By, ErrorName};
use http::{Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::Full;
use serde_json::json;

use crate::support::{
    PlainRelay, Relay, URL, builder, channel, client, get, soon, text, with_body,
};

#[tokio::test]
async fn a_message_that_was_too_long_for_the_relay_fails_its_fetch() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let small = tokio::spawn(client.fetch(with_body(Method::POST, "small")));
    let mut server = PlainRelay::accept(relay.socket().await, Some("fetchway.json")).await;
    let id = server.request().await["id"].clone();
    let long = Request::post(URL).body(Full::from(vec![b'a'; 2 << 20]));
    let long = tokio::spawn(client.fetch(long.expect("a request")));
    server.request().await;
    // It has skipped the message, and so does not know its id.
    let error = "The message is over the limit of 1048576 bytes.";
    server
        .send(&json!({
            "id": "unknown", "status": 0, "headers": {}, "body": "", "error": error,
            "errorCode": "limit_exceeded"
        }))
        .await;
    let ended = soon("an end", long).await.expect("no panic");
    let failed = ended.expect_err("it was refused");
    assert_eq!(
        (failed.name, failed.by),
        (ErrorName::LimitExceeded, By::Relay)
    );
    assert_eq!(failed.detail, error);
    let answer = json!({ "id": id, "status": 200, "headers": {}, "body": "read" });
    server.send(&answer).await;
    let response = soon("an answer", small).await.expect("no panic");
    let body = text(response.expect("a response")).await;
    assert_eq!(body.expect("a body"), "read");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_one() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let fetch = tokio::spawn(client.fetch(with_body(Method::POST, "a")));
    let mut server = PlainRelay::accept(relay.socket().await, Some("fetchway.json")).await;
    let id = server.request().await["id"].clone();
    server.send(&json!({ "id": id, "status": "fine" })).await;
    let ended = soon("an end", fetch).await.expect("no panic");
    let error = ended.expect_err("it cannot be read");
    assert_eq!(error.name, ErrorName::HttpProtocolError);
    assert_eq!(error.by, By::Client, "it says nothing of the origin");
    // What is no JSON object might have been any fetch's answer.
    let fetch = tokio::spawn(client.fetch(with_body(Method::POST, "b")));
    server.request().await;
    server.send(&json!("hello")).await;
    let ended = soon("an end", fetch).await.expect("no panic");
    let error = ended.expect_err("it was lost");
    assert_eq!(error.name, ErrorName::OutcomeUnknown, "{error}");
    assert_eq!(soon("a close", server.closed()).await, Some(1003));
}

#[tokio::test]
async fn a_long_body_that_came_in_pieces_is_given_again() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    let client = client(&[&first, &second]);
    let (pieces, body) = channel();
    let fetch = tokio::spawn(client.fetch(Request::put(URL).body(body).expect("a request")));
    let mut server = PlainRelay::accept(first.socket().await, Some("fetchway.json")).await;
    for piece in ["a", "b", "c"] {
        let piece = Frame::data(piece.repeat(50 << 10).into());
        pieces.send(Ok(piece)).await.expect("it is read");
    }
    drop(pieces);
    let body = server.request().await["body"].clone();
    assert_eq!(body.as_str().map(str::len), Some(150 << 10));
    drop(server);
    let mut server = PlainRelay::accept(second.socket().await, Some("fetchway.json")).await;
    let request = server.request().await;
    assert!(request["body"] == body, "it is another body");
    server
        .send(&json!({ "id": request["id"], "status": 200, "headers": {}, "body": "" }))
        .await;
    let response = soon("an answer", fetch).await.expect("no panic");
    assert_eq!(response.expect("a response").status(), StatusCode::OK);
}

#[tokio::test]
async fn answers_that_nobody_takes_stop_the_reading_and_not_the_socket() {
    let relay = Relay::start().await;
    let (ping_every, dead_after) = (Duration::from_millis(40), Duration::from_millis(600));
    let builder = builder(&[&relay]).windows(64 << 10, 16 << 10);
    let client = builder.liveness(ping_every, dead_after).build();
    let client = client.expect("a client");
    let (held, later) = (client.fetch(get()), tokio::spawn(client.fetch(get())));
    let mut held = pin!(held);
    let socket = relay.socket().await;
    let mut server = PlainRelay::accept(socket, Some("fetchway.json")).await;
    let later_id = server.request().await["id"].clone();
    let polled = std::future::poll_fn(|cx| Poll::Ready(held.as_mut().poll(cx))).await;
    assert!(polled.is_pending());
    let held_id = server.request().await["id"].clone();
    let long = "x".repeat(64 << 10);
    let answer = json!({ "id": held_id, "status": 200, "headers": {}, "body": long });
    server.send(&answer).await;
    let answer = json!({ "id": later_id, "status": 200, "headers": {}, "body": "later" });
    server.send(&answer).await;
    // It is told so often that it would have been read, and the relay be given up for its silence.
    for _ in 0..20 {
        soon("a ping", server.pinged()).await;
    }
    assert!(!later.is_finished(), "it was read beyond the window");
    let response = soon("an answer", held).await.expect("a response");
    assert_eq!(text(response).await.expect("a body"), long);
    let response = soon("an answer", later).await.expect("no panic");
    let body = text(response.expect("a response")).await;
    assert_eq!(body.expect("a body"), "later");
}
