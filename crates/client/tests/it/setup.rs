//! What a client can be set up with, and what a request may ask for.

use std::time::Duration;

use fetchway_client::{Builder, By, Client, ErrorName, Options};
use fetchway_test_origins::Certificate;
use http::HeaderValue;
use http_body::Body as _;

use crate::support::{Relay, URL, client, get, soon, text};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn some() -> Builder {
    Client::builder().relay("ws://relay.test/")
}

#[test]
fn clocks_that_cannot_be_are_refused() {
    let (zero, ms, max) = (Duration::ZERO, Duration::from_millis(1), Duration::MAX);
    let bad = [
        some().connect_timeout(zero),
        some().connect_timeout(max),
        some().liveness(zero, DAY),
        some().liveness(DAY, max),
        some().liveness(DAY, DAY),
        some().backoff(zero, DAY),
        some().backoff(ms, max),
        some().resume_within(max),
    ];
    for builder in bad {
        let error = builder.build().expect_err("it cannot be");
        assert_eq!(
            (error.name, error.by),
            (ErrorName::InvalidRequest, By::Client)
        );
    }
    let good = some().connect_timeout(365 * DAY).liveness(ms, 365 * DAY);
    let good = good.resume_within(zero).backoff(ms, 365 * DAY);
    assert!(good.queue(0, max).build().is_ok());
}

#[test]
fn windows_that_cannot_be_are_refused() {
    for (session, stream) in [
        (1, 1 << 20),
        (1 << 20, 1),
        (u64::MAX, 1 << 20),
        (1 << 20, u64::MAX),
    ] {
        let error = some().windows(session, stream).build();
        let error = error.expect_err("it cannot be");
        assert_eq!(error.name, ErrorName::InvalidRequest, "{error}");
    }
    assert!(some().windows(64 << 10, 16 << 10).build().is_ok());
}

#[test]
fn root_certificates_are_looked_at_before_they_are_needed() {
    let certificate = Certificate::generate::<&str>(&[]).expect("a certificate");
    let pem = certificate.ca_pem();
    let two = format!("{pem}a note\n{}", certificate.cert_pem());
    for good in [pem.as_str(), &two] {
        assert!(
            some()
                .root_certificates_pem(good.as_bytes())
                .build()
                .is_ok()
        );
    }
    let bad = [
        (some().root_certificates_pem(b""), "PEM file"),
        (
            some().root_certificates_pem(certificate.key_pem().as_bytes()),
            "PEM file",
        ),
        (
            some().root_certificate(pem.into_bytes().into()),
            "root_certificates_pem",
        ),
        (some().root_certificate(vec![1, 2, 3].into()), "DER form"),
    ];
    for (builder, told) in bad {
        let error = builder.build().expect_err("it cannot be used");
        assert_eq!(error.name, ErrorName::ProxyConfigurationError);
        assert!(error.detail.contains(told), "{error}");
    }
}

#[test]
fn of_several_relays_the_one_that_cannot_be_is_told() {
    let error = some().relay("http://relay.test/").build().expect_err("bad");
    assert!(
        error.detail.contains("relay 2 of 2 has the scheme http:"),
        "{error}"
    );
}

#[tokio::test]
async fn a_relay_may_have_a_token_of_its_own() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    let builder = Client::builder().token("shared").relay(&first.url);
    let builder = builder.relay_with_token(&second.url, "own");
    let client = builder.build().expect("a client");
    let connecting = tokio::spawn(async move { client.connect().await });
    assert_eq!(
        first.socket().await.headers["authorization"],
        "Bearer shared"
    );
    assert_eq!(second.socket().await.headers["authorization"], "Bearer own");
    connecting.abort();
    let error = some().relay_with_token("ws://a.test/", "a b").build();
    assert_eq!(error.expect_err("bad").name, ErrorName::InvalidRequest);
}

#[tokio::test]
async fn a_url_is_fetched_as_it_is() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let fetch = tokio::spawn(client.get(URL));
    let mut peer = relay.peer().await;
    let (stream, head, end) = peer.opened().await;
    assert_eq!(
        (head.request.method.as_str(), &*head.request.url, end),
        ("GET", URL, true)
    );
    peer.answer(stream, "got").await;
    let response = soon("an answer", fetch).await.expect("no panic");
    assert_eq!(
        text(response.expect("a response")).await.expect("a body"),
        "got"
    );
    for (bad, told) in [
        ("", "check it"),
        ("/path", "not absolute"),
        ("ftp://origin.test/", "scheme is ftp"),
    ] {
        let error = client.get(bad).await.expect_err(bad);
        assert_eq!(error.name, ErrorName::InvalidRequest, "{error}");
        assert!(error.detail.contains(told), "{error}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let builder = Client::builder()
        .relay("wss://user:s3cret@relay.test/?key=s3cret")
        .token("s3cret");
    assert!(!format!("{builder:?}").contains("s3cret"), "{builder:?}");
    let error = builder.build().expect_err("no credentials in URLs");
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn clocks_of_a_fetch_are_what_both_encodings_can_say() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let mut request = get();
    let options = Options::default().connect_timeout(Duration::from_micros(1));
    request
        .extensions_mut()
        .insert(options.total_timeout(2 * DAY));
    let fetch = tokio::spawn(client.fetch(request));
    let mut peer = relay.peer().await;
    let (_, head, _) = peer.opened().await;
    assert_eq!(
        head.request.timeouts.connect,
        Some(Duration::from_millis(1))
    );
    assert_eq!(
        (head.request.timeouts.header, head.request.timeouts.total),
        (None, Some(DAY))
    );
    fetch.abort();
}

#[tokio::test]
async fn a_body_tells_how_long_it_is_if_the_relay_knows() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    let length = HeaderValue::from_static("7");
    peer.head_with(stream, "content-length", length).await;
    let response = soon("a head", fetch).await.expect("no panic");
    let mut body = response.expect("a response").into_body();
    assert_eq!(body.size_hint().exact(), Some(7));
    peer.piece(stream, "four").await;
    soon("a piece", body.chunk()).await.expect("a body");
    assert_eq!(body.size_hint().exact(), Some(3));
    peer.piece(stream, "abc").await;
    peer.end(stream).await;
    while soon("the rest", body.chunk())
        .await
        .expect("a body")
        .is_some()
    {}
    assert_eq!(body.size_hint().exact(), Some(0));
    // Nobody knows.
    let fetch = tokio::spawn(client.fetch(get()));
    let (stream, ..) = peer.opened().await;
    peer.head(stream, 200, false).await;
    let response = soon("a head", fetch).await.expect("no panic");
    let body = response.expect("a response").into_body();
    assert_eq!(
        (body.size_hint().lower(), body.size_hint().upper()),
        (0, None)
    );
}
