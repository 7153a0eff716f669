//! Servers that have no binary encoding.

use bytes::Bytes;
use fetchway_client::{ErrorName, FinalUrl};
use http::{Method, Request, StatusCode};
use http_body::Frame;
use serde_json::json;

use crate::support::{
    PlainRelay, Relay, URL, builder, channel, client, get, soon, text, with_body,
};

#[tokio::test]
async fn a_server_that_confirms_nothing_is_asked_again_without_subprotocols() {
    let relay = Relay::start().await;
    let client = builder(&[&relay])
        .token("s3cret")
        .build()
        .expect("a client");
    let fetch = tokio::spawn(client.fetch(with_body(Method::POST, "hello")));
    let first = PlainRelay::accept(relay.socket().await, None).await;
    assert_eq!(
        first.headers["sec-websocket-protocol"],
        "fetchway.v1, fetchway.json"
    );
    let mut server = PlainRelay::accept(relay.socket().await, None).await;
    assert!(!server.headers.contains_key("sec-websocket-protocol"));
    assert_eq!(server.headers["authorization"], "Bearer s3cret");
    let request = server.request().await;
    let id = request["id"].clone();
    assert_eq!(
        request,
        json!({ "id": id, "url": URL, "method": "POST", "body": "hello" })
    );
    // Answers of other things are passed over.
    server
        .send(&json!({ "id": "unknown", "status": 0, "headers": {}, "body": "", "error": "?" }))
        .await;
    server
        .send(&json!({
            "id": id, "status": 201, "headers": { "a": "b", "set-cookie": "x=1, y=2" },
            "setCookie": ["x=1", "y=2"], "body": "created", "url": "http://elsewhere.test/",
            "timing": { "start": 1, "end": 2, "duration": 1 }
        }))
        .await;
    let response = soon("an answer", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["a"], "b");
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    assert_eq!(FinalUrl::of(&response), Some("http://elsewhere.test/"));
    assert_eq!(text(response).await.expect("a body"), "created");
}

#[tokio::test]
async fn a_server_that_refuses_subprotocols_is_asked_again_without() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let fetch = tokio::spawn(client.fetch(get()));
    relay.socket().await.refuse(StatusCode::BAD_REQUEST).await;
    let mut server = PlainRelay::accept(relay.socket().await, None).await;
    let request = server.request().await;
    server.send(&json!({ "id": request["id"], "status": 0, "headers": {}, "body": "", "error": "no", "errorCode": "dns_error" })).await;
    let error = soon("an answer", fetch)
        .await
        .expect("no panic")
        .expect_err("it failed");
    assert_eq!((error.name, &*error.detail), (ErrorName::DnsError, "no"));
}

#[tokio::test]
async fn refused_credentials_are_told_of() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    relay.socket().await.refuse(StatusCode::UNAUTHORIZED).await;
    let error = soon("an end", connecting)
        .await
        .expect("no panic")
        .expect_err("refused");
    assert_eq!(error.name, ErrorName::HttpRequestDenied);
    assert!(error.detail.contains("401"), "{error}");
}

#[tokio::test]
async fn a_relay_that_confirms_json_is_spoken_to_in_json() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    // Streamed and not UTF-8: it goes as a whole, in base64.
    let (pieces, body) = channel();
    let fetch = tokio::spawn(client.fetch(Request::post(URL).body(body).expect("a request")));
    let mut server = PlainRelay::accept(relay.socket().await, Some("fetchway.json")).await;
    for piece in [&b"\xFF"[..], b"\xFE"] {
        pieces
            .send(Ok(Frame::data(Bytes::from_static(piece))))
            .await
            .expect("it is read");
    }
    drop(pieces);
    let request = server.request().await;
    assert_eq!(request["bodyBase64"], "//4=");
    server.send(&json!({ "id": request["id"], "status": 200, "headers": {}, "body": "", "bodyBase64": "//4=" })).await;
    let response = soon("an answer", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(
        response.into_body().bytes(10).await.expect("a body"),
        &b"\xFF\xFE"[..]
    );
    // Whoever stops waiting cancels.
    let fetch = tokio::spawn(client.fetch(get()));
    let request = server.request().await;
    fetch.abort();
    assert_eq!(server.request().await, json!({ "cancel": request["id"] }));
}

#[tokio::test]
async fn nothing_resumes_over_json() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    let client = client(&[&first, &second]);
    let fetch = tokio::spawn(client.fetch(get()));
    let post = tokio::spawn(client.fetch(with_body(Method::POST, "once")));
    let mut server = PlainRelay::accept(first.socket().await, Some("fetchway.json")).await;
    server.request().await;
    server.request().await;
    drop(server);
    let mut server = PlainRelay::accept(second.socket().await, Some("fetchway.json")).await;
    let request = server.request().await;
    assert_eq!(request["method"], "GET");
    server
        .send(&json!({ "id": request["id"], "status": 200, "headers": {}, "body": "there" }))
        .await;
    let response = soon("an answer", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(text(response).await.expect("a body"), "there");
    let error = soon("an end", post)
        .await
        .expect("no panic")
        .expect_err("it failed");
    assert_eq!(error.name, ErrorName::OutcomeUnknown);
}
