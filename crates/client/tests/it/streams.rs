//! Bodies in both directions, and what is said with them.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fetchway_client::{By, ErrorName, FinalUrl, Options, RedirectMode, Timeouts};
use fetchway_policy::FetchError;
use fetchway_wire::v1::{Reset, ResponseHead};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};

use crate::support::{Relay, URL, builder, channel, client, get, soon, text, with_body};

#[tokio::test]
async fn a_head_says_all_that_was_asked_and_all_that_was_answered() {
    let relay = Relay::start().await;
    let client = builder(&[&relay])
        .token("s3cret")
        .build()
        .expect("a client");
    let mut request = with_body(Method::PUT, "body");
    request
        .headers_mut()
        .append("x", HeaderValue::from_static("1"));
    request
        .headers_mut()
        .append("x", HeaderValue::from_static("2"));
    request
        .headers_mut()
        .insert("connection", HeaderValue::from_static("close"));
    let total = Some(std::time::Duration::from_millis(1_500));
    let timeouts = Timeouts {
        total,
        ..Timeouts::default()
    };
    let options = Options::default().lane("slow").decode(false);
    let options = options.redirect(RedirectMode::Manual).timeouts(timeouts);
    request.extensions_mut().insert(options);
    let fetch = tokio::spawn(client.fetch(request));
    let mut peer = relay.peer().await;
    assert_eq!(peer.headers["authorization"], "Bearer s3cret");
    assert_eq!(
        peer.headers["sec-websocket-protocol"],
        "fetchway.v1, fetchway.json"
    );
    let (stream, head, end) = peer.opened().await;
    assert!(!end);
    assert_eq!(
        (
            head.request.method,
            head.request.url.as_str(),
            head.request.lane.as_str()
        ),
        (Method::PUT, URL, "slow")
    );
    assert_eq!(
        (head.request.redirect, head.request.decode),
        (RedirectMode::Manual, false)
    );
    assert_eq!(head.request.timeouts.total, total);
    assert_eq!(head.request.headers.get_all("x").iter().count(), 2);
    assert_eq!(head.request.headers["content-length"], "4");
    assert!(!head.request.headers.contains_key("connection"));
    assert_eq!(peer.body().await, b"body");
    let mut fields = HeaderMap::new();
    fields.append("set-cookie", HeaderValue::from_static("a"));
    fields.append("set-cookie", HeaderValue::from_static("b"));
    let answer = ResponseHead {
        tag: Bytes::new(),
        status: StatusCode::IM_A_TEAPOT,
        url: "http://elsewhere.test/".to_owned(),
        fields,
    };
    peer.session
        .respond(stream, &answer, true)
        .expect("the stream is open");
    peer.flush().await;
    let response = soon("an answer", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    assert_eq!(FinalUrl::of(&response), Some("http://elsewhere.test/"));
    assert_eq!(text(response).await.expect("a body"), "");
}

#[tokio::test]
async fn a_response_arrives_piece_by_piece_and_with_trailers() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    let (stream, _, end) = peer.opened().await;
    assert!(end, "a GET has no body");
    peer.head(stream, 200, false).await;
    let response = soon("a head", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(FinalUrl::of(&response), None);
    let mut body = response.into_body();
    for piece in ["one", "two", "three"] {
        peer.piece(stream, piece).await;
        let came = soon("a piece", body.chunk())
            .await
            .expect("a body")
            .expect("a piece");
        assert_eq!(came, piece);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    peer.session
        .trailers(stream, &trailers)
        .expect("the stream is open");
    peer.flush().await;
    let last = soon("trailers", body.frame())
        .await
        .expect("a frame")
        .expect("a body");
    assert_eq!(last.into_trailers().expect("trailers")["x-sum"], "7");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_request_goes_out_piece_by_piece_and_with_trailers() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let (pieces, body) = channel();
    let request = Request::post(URL).body(body).expect("a request");
    let fetch = tokio::spawn(client.fetch(request));
    let mut peer = relay.peer().await;
    let (stream, head, end) = peer.opened().await;
    assert!(!end && !head.request.headers.contains_key("content-length"));
    for piece in ["one", "two", "three"] {
        pieces
            .send(Ok(Frame::data(piece.into())))
            .await
            .expect("it is read");
        let (_, came, end) = soon("a piece", peer.data()).await;
        assert_eq!((&came[..], end), (piece.as_bytes(), false));
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    pieces
        .send(Ok(Frame::trailers(trailers)))
        .await
        .expect("it is read");
    drop(pieces);
    match peer.event().await {
        fetchway_wire::v1::Event::Trailers { trailers, .. } => assert_eq!(trailers["x-sum"], "7"),
        other => panic!("no trailers, but {other:?}"),
    }
    peer.answer(stream, "done").await;
    let response = soon("an answer", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(text(response).await.expect("a body"), "done");
}

#[tokio::test]
async fn an_early_response_does_not_wait_for_the_request_nor_the_request_for_it() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let (pieces, body) = channel();
    let request = Request::post(URL).body(body).expect("a request");
    let fetch = tokio::spawn(client.fetch(request));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    peer.head(stream, 200, false).await;
    let response = soon("a head", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    // The body goes on, both ways.
    pieces
        .send(Ok(Frame::data("up".into())))
        .await
        .expect("it is read");
    assert_eq!(soon("a piece", peer.data()).await.1, "up");
    peer.piece(stream, "down").await;
    let mut body = response.into_body();
    let came = soon("a piece", body.chunk()).await.expect("a body");
    assert_eq!(came.as_deref(), Some(&b"down"[..]));
    // The relay wants no more: whoever writes is told.
    peer.session.stop(stream).expect("the stream is open");
    peer.flush().await;
    soon("the end of the upload", pieces.closed()).await;
    peer.end(stream).await;
    assert_eq!(soon("the end", body.chunk()).await.expect("a body"), None);
}

#[tokio::test]
async fn an_upload_waits_for_room_and_holds_up_nobody() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let config = fetchway_wire::v1::Config {
        stream_window: 16 << 10,
        ..Default::default()
    };
    let (taken, body) = counted(64, 16 << 10);
    let request = Request::post(URL).body(body).expect("a request");
    let fetch = tokio::spawn(client.fetch(request));
    let mut peer = relay.session(config).await;
    let (stream, ..) = peer.opened().await;
    // Another fetch passes it by while its window is used up.
    let other = tokio::spawn(client.fetch(get()));
    let mut held = Vec::new();
    let other_stream = loop {
        match peer.event().await {
            fetchway_wire::v1::Event::Opened { stream, .. } => break stream,
            fetchway_wire::v1::Event::Data { bytes, .. } => held.push(bytes),
            event => panic!("unexpected: {event:?}"),
        }
    };
    peer.answer(other_stream, "other").await;
    let response = soon("an answer", other)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(text(response).await.expect("a body"), "other");
    assert!(
        *taken.lock().expect("no panic") <= 6,
        "only what there is room for is taken"
    );
    let mut received: usize = held.iter().map(Bytes::len).sum();
    peer.session.consumed(stream, received as u64);
    received += peer.body().await.len();
    assert_eq!(received, 64 * (16 << 10));
    peer.answer(stream, "done").await;
    let response = soon("an answer", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(text(response).await.expect("a body"), "done");
}

/// A body of `pieces`, and how many of them were taken.
fn counted(pieces: usize, size: usize) -> (Arc<Mutex<usize>>, Counted) {
    let taken = Arc::new(Mutex::new(0));
    let body = Counted {
        taken: Arc::clone(&taken),
        left: pieces,
        size,
    };
    (taken, body)
}

struct Counted {
    taken: Arc<Mutex<usize>>,
    left: usize,
    size: usize,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        if self.left == 0 {
            return std::task::Poll::Ready(None);
        }
        self.left -= 1;
        *self.taken.lock().expect("no panic") += 1;
        std::task::Poll::Ready(Some(Ok(Frame::data(vec![0; self.size].into()))))
    }
}

#[tokio::test]
async fn a_slow_reader_holds_up_its_own_stream_only() {
    let relay = Relay::start().await;
    let client = builder(&[&relay])
        .windows(1 << 20, 32 << 10)
        .build()
        .expect("a client");
    let slow = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    peer.head(stream, 200, false).await;
    let unread = soon("a head", slow)
        .await
        .expect("no panic")
        .expect("a response");
    let whole = vec![b'x'; 256 << 10];
    peer.piece(stream, whole.clone()).await;
    peer.session.end(stream).expect("the stream is open");
    for _ in 0..3 {
        let fetch = tokio::spawn(client.fetch(get()));
        let (stream, ..) = peer.opened().await;
        peer.answer(stream, "quick").await;
        let response = soon("an answer", fetch)
            .await
            .expect("no panic")
            .expect("a response");
        assert_eq!(text(response).await.expect("a body"), "quick");
    }
    assert!(
        peer.session.held() > 200 << 10,
        "most of it has not been sent"
    );
    let reading = tokio::spawn(async move { unread.into_body().collect().await });
    let serving = async {
        // Limits come as the body is read; they are no events.
        peer.next().await.expect_err("no event is left")
    };
    tokio::select! {
        body = reading => {
            let body = body.expect("no panic").expect("a body").to_bytes();
            assert_eq!(body, whole);
        }
        code = serving => panic!("the client closed with {code:?}"),
    }
}

#[tokio::test]
async fn failures_have_the_relays_names() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    let error = FetchError::new(ErrorName::DnsError, "no such host");
    peer.fail(stream, Reset::new(Bytes::new(), &error)).await;
    let failed = soon("an answer", fetch)
        .await
        .expect("no panic")
        .expect_err("it failed");
    assert_eq!((failed.name, &failed.detail), (error.name, &error.detail));
    assert_eq!(failed.by, By::Relay, "it is not about a relay");
    // Within a body too.
    let fetch = tokio::spawn(client.fetch(get()));
    let (stream, ..) = peer.opened().await;
    peer.head(stream, 200, false).await;
    let response = soon("a head", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    let error = FetchError::new(ErrorName::HttpResponseIncomplete, "it broke off");
    peer.fail(stream, Reset::new(Bytes::new(), &error)).await;
    let failed = soon("the end", text(response)).await;
    let failed = failed.expect_err("it failed");
    assert_eq!((failed.name, &failed.detail), (error.name, &error.detail));
    assert_eq!(failed.by, By::Relay);
}

#[tokio::test]
async fn what_no_relay_would_take_is_refused_at_once() {
    // Nothing listens there, and nothing is dialled.
    let client = fetchway_client::Client::builder()
        .relay("ws://127.0.0.1:1/")
        .build();
    let client = client.expect("a client");
    let name = async |request: http::request::Builder| {
        let request = request.body(Full::<Bytes>::default()).expect("a request");
        client.fetch(request).await.expect_err("it is refused").name
    };
    assert_eq!(
        name(Request::get("/relative")).await,
        ErrorName::InvalidRequest
    );
    assert_eq!(
        name(Request::get("ftp://a/")).await,
        ErrorName::InvalidRequest
    );
    assert_eq!(
        name(Request::trace("http://a/")).await,
        ErrorName::InvalidRequest
    );
    let long = Request::get("http://a/").header("x", "y".repeat(70_000));
    assert_eq!(name(long).await, ErrorName::LimitExceeded);
}
