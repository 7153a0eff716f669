//! How sockets are closed, by a relay, by something in between, and by the client.

use std::time::Duration;

use fetchway_client::ErrorName;
use fetchway_ws::{CloseCode, Opcode, close_payload};
use http::StatusCode;
use serde_json::json;

use crate::support::{PATIENCE, PlainRelay, Relay, builder, client, get, soon, text};

#[tokio::test]
async fn a_close_that_does_not_end_the_session_is_not_answered_as_if_it_did() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    // The relay's own, and those of proxies.
    for code in [4408, 4409, 1001, 1011, 1012, 1013] {
        let payload = close_payload(CloseCode::Private(code), "");
        peer.write_message(Opcode::Close, &payload).await;
        // 1000 would end the session.
        assert_eq!(soon("a close", peer.closed()).await, Some(1001), "{code}");
        let session = peer.cut();
        peer = relay.socket().await.resume(session).await;
    }
    // Without a code.
    peer.write_message(Opcode::Close, b"").await;
    assert_eq!(soon("a close", peer.closed()).await, Some(1001));
    let session = peer.cut();
    peer = relay.socket().await.resume(session).await;
    peer.answer(stream, "gone on").await;
    let response = soon("an answer", fetch).await.expect("no panic");
    let body = text(response.expect("a response")).await;
    assert_eq!(body.expect("a body"), "gone on");
}

#[tokio::test]
async fn a_close_that_ends_the_session_is_believed() {
    for code in [1000, 1001, 4400] {
        let relay = Relay::start().await;
        let client = client(&[&relay]);
        let fetch = tokio::spawn(client.fetch(get()));
        let mut peer = relay.peer().await;
        let (stream, ..) = peer.opened().await;
        // Having said that it leaves, a relay means it.
        if code == 1001 {
            peer.go_away(stream).await;
        }
        peer.close(CloseCode::Private(code)).await;
        let mut peer = relay.peer().await;
        assert_eq!(peer.hello.token, None, "nothing is to be resumed");
        let (stream, ..) = peer.opened().await;
        peer.answer(stream, "anew").await;
        let response = soon("an answer", fetch).await.expect("no panic");
        assert_eq!(response.expect("a response").status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn what_is_under_way_after_the_grace_is_cut_off() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    peer.opened().await;
    let closing = client.close(Duration::from_millis(50));
    assert!(!soon("the end", closing).await, "it took longer");
    let ended = soon("an end", fetch).await.expect("no panic");
    let error = ended.expect_err("it was cut off");
    assert_eq!(error.name, ErrorName::OutcomeUnknown);
    // The socket is gone as well.
    assert_eq!(soon("the end", peer.closed()).await, None);
}

#[tokio::test]
async fn a_parked_session_does_not_hold_up_a_close() {
    let relay = Relay::start().await;
    let client = builder(&[&relay]).build().expect("a client");
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    peer.opened().await;
    let session = peer.cut();
    let socket = relay.socket().await;
    let closing = client.close(Duration::from_millis(50));
    assert!(!soon("the end", closing).await, "it could not be resumed");
    let ended = soon("an end", fetch).await.expect("no panic");
    let error = ended.expect_err("it was cut off");
    assert_eq!(error.name, ErrorName::OutcomeUnknown);
    drop((socket, session));
}

#[tokio::test]
async fn a_socket_of_json_is_closed_with_its_last_answer() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    let mut server = PlainRelay::accept(relay.socket().await, Some("fetchway.json")).await;
    let connected = soon("a relay", connecting).await.expect("no panic");
    connected.expect("it is there");
    let fetch = tokio::spawn(client.fetch(get()));
    let dropped = tokio::spawn(client.fetch(get()));
    let ids = [
        server.request().await["id"].clone(),
        server.request().await["id"].clone(),
    ];
    dropped.abort();
    server.request().await;
    let closing = tokio::spawn(client.close(PATIENCE / 2));
    // What is taken last is taken by the fetch, and not as it is read.
    for id in ids.into_iter().rev() {
        let answer = json!({ "id": id, "status": 200, "headers": {}, "body": "" });
        server.send(&answer).await;
    }
    let response = soon("an answer", fetch).await.expect("no panic");
    assert_eq!(response.expect("a response").status(), StatusCode::OK);
    assert_eq!(soon("a close", server.closed()).await, Some(1000));
    drop(server);
    assert!(closing.await.expect("no panic"), "it had nothing to do");
}
