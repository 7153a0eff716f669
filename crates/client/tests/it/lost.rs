//! A relay is lost for good: what goes elsewhere, and what fails.

use std::time::Duration;

use fetchway_client::{ErrorName, Failover, Options};
use fetchway_wire::v1::Config;
use fetchway_ws::CloseCode;
use http::{Method, Request, StatusCode};
use http_body::Frame;

use crate::support::{Relay, URL, builder, channel, client, get, soon, text, with_body};

/// A relay whose sessions end with their sockets.
fn fleeting() -> Config {
    Config {
        resume_within: Duration::ZERO,
        ..Config::default()
    }
}

#[tokio::test]
async fn without_the_session_idempotent_fetches_go_elsewhere_and_others_fail() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    let client = client(&[&first, &second]);
    let fetch = tokio::spawn(client.fetch(get()));
    let put = tokio::spawn(client.fetch(with_body(Method::PUT, "whole")));
    let mut keyed = with_body(Method::POST, "keyed");
    keyed
        .headers_mut()
        .insert("idempotency-key", "k".parse().expect("a value"));
    let keyed = tokio::spawn(client.fetch(keyed));
    let post = tokio::spawn(client.fetch(with_body(Method::POST, "once")));
    let never = Options::default().failover(Failover::Never);
    let stubborn = tokio::spawn(client.fetch_with(get(), never));
    let mut peer = first.peer().await;
    assert_eq!(peer.fetches(5).await.len(), 5);
    // It comes back without the session.
    drop(peer.cut());
    let mut refusing = first
        .socket()
        .await
        .session_or(Config::default(), Some("it expired"))
        .await;
    assert!(
        refusing.hello.token.is_some(),
        "the client asks for its session"
    );
    assert_eq!(soon("a close", refusing.closed()).await, Some(1000));
    let mut peer = second.peer().await;
    for (stream, head, body) in peer.fetches(3).await {
        let expected: &[u8] = match head.request.method {
            Method::GET => b"",
            Method::PUT => b"whole",
            _ => b"keyed",
        };
        assert_eq!(body, expected);
        peer.answer(stream, "elsewhere").await;
    }
    for moved in [fetch, put, keyed] {
        let response = soon("an answer", moved)
            .await
            .expect("no panic")
            .expect("a response");
        assert_eq!(text(response).await.expect("a body"), "elsewhere");
    }
    for failed in [post, stubborn] {
        let error = soon("an end", failed)
            .await
            .expect("no panic")
            .expect_err("it failed");
        assert_eq!(error.name, ErrorName::OutcomeUnknown);
        assert!(error.detail.contains("it expired"), "{error}");
    }
}

#[tokio::test]
async fn a_relay_that_does_not_come_back_is_given_up_in_time() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    let builder = builder(&[&first, &second]).resume_within(Duration::from_millis(200));
    let client = builder.build().expect("a client");
    let fetch = tokio::spawn(client.fetch(get()));
    let post = tokio::spawn(client.fetch(with_body(Method::POST, "once")));
    let mut peer = first.peer().await;
    peer.opened().await;
    peer.opened().await;
    drop(peer);
    let lost = first.url.clone();
    drop(first);
    let mut peer = second.peer().await;
    let (stream, head, _) = peer.opened().await;
    assert_eq!(head.request.method, Method::GET);
    peer.answer(stream, "elsewhere").await;
    let response = soon("an answer", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(text(response).await.expect("a body"), "elsewhere");
    let error = soon("an end", post)
        .await
        .expect("no panic")
        .expect_err("it failed");
    assert_eq!(error.name, ErrorName::OutcomeUnknown);
    let told = [&*lost, "not resumed within 200ms"];
    assert!(told.iter().all(|it| error.detail.contains(it)), "{error}");
}

#[tokio::test]
async fn what_was_never_sent_goes_elsewhere_whatever_it_is() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    let client = client(&[&first, &second]);
    let config = Config {
        session_window: 64 << 10,
        ..fleeting()
    };
    // This one uses up the session's window, so that nothing after it can be sent.
    let sent = tokio::spawn(
        client.fetch(
            Request::post(URL)
                .body(http_body_util::Full::from(vec![0; 256 << 10]))
                .expect("a request"),
        ),
    );
    let mut peer = first.session(config).await;
    let (_, head, _) = peer.opened().await;
    assert_eq!(head.request.headers["content-length"], "262144");
    let mut came = head.request.url.len();
    while came < 60 << 10 {
        match peer.event().await {
            fetchway_wire::v1::Event::Data { bytes, .. } => came += bytes.len(),
            other => panic!("no data, but {other:?}"),
        }
    }
    let mut post = Box::pin(client.fetch(with_body(Method::POST, "unsent")));
    let (pieces, body) = channel();
    let mut streamed = Box::pin(client.fetch(Request::post(URL).body(body).expect("a request")));
    // Both have their streams, and their heads wait for room.
    for fetch in [
        &mut post as &mut (dyn Future<Output = _> + Unpin + Send),
        &mut streamed,
    ] {
        let mut fetch = std::pin::Pin::new(fetch);
        std::future::poll_fn(|cx| {
            assert!(fetch.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    pieces
        .send(Ok(Frame::data("un".into())))
        .await
        .expect("there is room");
    let (post, streamed) = (tokio::spawn(post), tokio::spawn(streamed));
    drop(peer);
    let mut peer = second.peer().await;
    let mut bodies = std::collections::HashMap::new();
    let mut more = Some(pieces);
    while bodies.len() < 2 || bodies.values().any(|(body, _)| body != b"unsent") {
        match peer.event().await {
            fetchway_wire::v1::Event::Opened { stream, .. } => {
                bodies.insert(stream, (Vec::new(), false));
            }
            fetchway_wire::v1::Event::Data { stream, bytes, end } => {
                let body = bodies.get_mut(&stream).expect("an open stream");
                body.0.extend_from_slice(&bytes);
                body.1 = end;
                // What was taken before is given again, then what comes.
                if body.0 == b"un"
                    && let Some(pieces) = more.take()
                {
                    pieces
                        .send(Ok(Frame::data("sent".into())))
                        .await
                        .expect("it is read");
                }
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
    for stream in bodies.into_keys() {
        peer.answer(stream, "elsewhere").await;
    }
    for fetch in [post, streamed] {
        let response = soon("an answer", fetch)
            .await
            .expect("no panic")
            .expect("a response");
        assert_eq!(text(response).await.expect("a body"), "elsewhere");
    }
    let error = soon("an end", sent)
        .await
        .expect("no panic")
        .expect_err("it failed");
    assert_eq!(error.name, ErrorName::OutcomeUnknown);
}

#[tokio::test]
async fn a_body_under_way_cannot_move() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    let client = client(&[&first, &second]);
    // A response that has begun, idempotent or not.
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = first.session(fleeting()).await;
    let (stream, ..) = peer.opened().await;
    peer.head(stream, 200, false).await;
    let response = soon("a head", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    // And a request of which too much has gone to be kept.
    let (pieces, body) = channel();
    let put = tokio::spawn(client.fetch(Request::put(URL).body(body).expect("a request")));
    peer.opened().await;
    for _ in 0..4 {
        let piece = Frame::data(vec![0; 40 << 10].into());
        pieces.send(Ok(piece)).await.expect("it is read");
        let mut came = 0;
        while came < 40 << 10 {
            came += peer.data().await.1.len();
        }
    }
    peer.close(CloseCode::Normal).await;
    let error = soon("an end", text(response))
        .await
        .expect_err("it broke off");
    assert_eq!(error.name, ErrorName::OutcomeUnknown);
    let error = soon("an end", put)
        .await
        .expect("no panic")
        .expect_err("it failed");
    assert_eq!(error.name, ErrorName::OutcomeUnknown);
    assert!(error.detail.contains("1000"), "{error}");
}

#[tokio::test]
async fn a_relay_that_breaks_the_protocol_is_closed_and_told_why() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    let client = client(&[&first, &second]);
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = first.peer().await;
    peer.opened().await;
    peer.write_message(fetchway_ws::Opcode::Binary, &[0x03, 2, 9, 0])
        .await;
    assert_eq!(soon("a close", peer.closed()).await, Some(4400));
    let mut peer = second.peer().await;
    let (stream, ..) = peer.opened().await;
    peer.answer(stream, "elsewhere").await;
    let response = soon("an answer", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_silent_relay_is_given_up() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    let builder = builder(&[&first, &second]).resume_within(Duration::ZERO);
    let liveness = (Duration::from_millis(100), Duration::from_millis(400));
    let client = builder
        .liveness(liveness.0, liveness.1)
        .build()
        .expect("a client");
    let fetch = tokio::spawn(client.fetch(get()));
    let mut silent = first.peer().await;
    silent.opened().await;
    // It is there, and answers no ping.
    let mut peer = second.peer().await;
    let (stream, ..) = peer.opened().await;
    peer.answer(stream, "elsewhere").await;
    let response = soon("an answer", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(text(response).await.expect("a body"), "elsewhere");
    drop(silent);
}
