//! Handshakes that are refused, at first and when a session is to be resumed.

use std::time::Duration;

use fetchway_client::{By, Encoding, ErrorName};
use http::StatusCode;

use crate::support::{PlainRelay, Relay, builder, client, get, soon, text};

const OFFER: &str = "sec-websocket-protocol";

#[tokio::test]
async fn a_relay_that_is_busy_is_not_taken_for_one_that_speaks_json() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let fetch = tokio::spawn(client.fetch(get()));
    for status in [503, 429, 502, 404] {
        let socket = relay.socket().await;
        assert_eq!(socket.headers[OFFER], "fetchway.v1, fetchway.json");
        let status = StatusCode::from_u16(status).expect("a status");
        socket.refuse(status).await;
    }
    let socket = relay.socket().await;
    assert_eq!(socket.headers[OFFER], "fetchway.v1, fetchway.json");
    let mut peer = socket.session(Default::default()).await;
    let (stream, ..) = peer.opened().await;
    peer.answer(stream, "there").await;
    let response = soon("an answer", fetch).await.expect("no panic");
    let body = text(response.expect("a response")).await;
    assert_eq!(body.expect("a body"), "there");
}

#[tokio::test]
async fn a_session_is_not_given_up_for_a_refused_handshake() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    let session = peer.cut();
    let refusals = [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::UNAUTHORIZED,
        StatusCode::BAD_REQUEST,
    ];
    for status in refusals {
        let socket = relay.socket().await;
        assert_eq!(socket.headers[OFFER], "fetchway.v1");
        socket.refuse(status).await;
    }
    // For a moment something else answers there.
    drop(PlainRelay::accept(relay.socket().await, None).await);
    drop(PlainRelay::accept(relay.socket().await, Some("fetchway.json")).await);
    let mut peer = relay.socket().await.resume(session).await;
    peer.answer(stream, "still there").await;
    let response = soon("an answer", fetch).await.expect("no panic");
    let body = text(response.expect("a response")).await;
    assert_eq!(body.expect("a body"), "still there");
}

#[tokio::test]
async fn where_every_relay_refuses_the_credential_nothing_waits() {
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        let (first, second) = (Relay::start().await, Relay::start().await);
        let builder = builder(&[&first, &second]).token("wrong");
        let client = builder.build().expect("a client");
        let fetches: Vec<_> = (0..3).map(|_| tokio::spawn(client.fetch(get()))).collect();
        // One of two says nothing of the other.
        first.socket().await.refuse(status).await;
        let again = first.socket().await;
        assert!(fetches.iter().all(|fetch| !fetch.is_finished()));
        second.socket().await.refuse(status).await;
        again.refuse(status).await;
        for fetch in fetches {
            let ended = soon("an end", fetch).await.expect("no panic");
            let error = ended.expect_err("it is refused");
            let expected = (ErrorName::HttpRequestDenied, By::Client);
            assert_eq!((error.name, error.by), expected, "{error}");
            assert!(error.detail.contains(status.as_str()), "{error}");
            // Each relay is told of.
            for relay in [&first, &second] {
                assert!(error.detail.contains(&relay.url), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn nobody_waits_for_the_next_try_where_it_is_known_what_comes_of_it() {
    let relay = Relay::start().await;
    let hour = Duration::from_secs(3_600);
    let client = builder(&[&relay]).backoff(hour, hour);
    let client = client.build().expect("a client");
    let fetch = tokio::spawn(client.fetch(get()));
    relay.socket().await.refuse(StatusCode::UNAUTHORIZED).await;
    let first = soon("an end", fetch).await.expect("no panic");
    for ended in [first, soon("an end", client.fetch(get())).await] {
        let error = ended.expect_err("it is refused");
        assert_eq!(error.name, ErrorName::HttpRequestDenied, "{error}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_relays_words() {
    let relay = Relay::start().await;
    let problem = br#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"This node asks for one."}"#;
    for (token, told) in [
        (
            None,
            "requires a token (401 Unauthorized: This node asks for one): set one",
        ),
        (
            Some("wrong"),
            "rejects the token (401 Unauthorized: This node",
        ),
    ] {
        let mut builder = builder(&[&relay]);
        if let Some(token) = token {
            builder = builder.token(token);
        }
        let client = builder.build().expect("a client");
        let fetch = tokio::spawn(client.fetch(get()));
        relay
            .socket()
            .await
            .refuse_with(StatusCode::UNAUTHORIZED, problem)
            .await;
        let ended = soon("an end", fetch).await.expect("no panic");
        let error = ended.expect_err("it is refused");
        assert!(error.detail.contains(told), "{error}");
    }
}

#[tokio::test]
async fn where_several_relays_are_away_each_is_told_of() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    let urls = [first.url.clone(), second.url.clone()];
    let builder = builder(&[&first, &second]).queue(10, Duration::from_millis(500));
    let client = builder.build().expect("a client");
    drop((first, second));
    let error = soon("an end", client.fetch(get())).await;
    let error = error.expect_err("nobody is there");
    assert_eq!(error.name, ErrorName::ConnectionRefused);
    for url in urls {
        assert!(error.detail.contains(&url), "{error}");
    }
}

#[tokio::test]
async fn a_relay_must_have_the_binary_encoding_if_that_is_asked_for() {
    let relay = Relay::start().await;
    let builder = builder(&[&relay]).encoding(Encoding::Binary);
    let client = builder.build().expect("a client");
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    let socket = relay.socket().await;
    assert_eq!(socket.headers[OFFER], "fetchway.v1");
    let plain = PlainRelay::accept(socket, None).await;
    let ended = soon("an end", connecting).await.expect("no panic");
    let error = ended.expect_err("it does not have it");
    assert_eq!(error.name, ErrorName::HttpProtocolError);
    assert!(error.detail.contains("fetchway.v1"), "{error}");
    drop(plain);
    // One that has it will do.
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    peer.answer(stream, "binary").await;
    let response = soon("an answer", fetch).await.expect("no panic");
    assert_eq!(response.expect("a response").status(), StatusCode::OK);
}
