//! Redirects as browsers follow them (WHATWG fetch, "HTTP-redirect fetch").

use fetchway_fetch::RequestBody;
use fetchway_policy::ErrorName;
use fetchway_policy::redirect::RedirectMode;
use fetchway_test_origins::TestOrigin;
use http::Method;
use http_body_util::BodyExt as _;

use crate::support::{Peer, Rig, config, get, post, request, with};

fn to(origin: &TestOrigin, code: u16, target: &str) -> String {
    origin.url(&format!("/redirect?code={code}&to={target}"))
}

#[tokio::test]
async fn methods_and_bodies_follow_the_redirect_table() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    for (code, method, then, kept) in [
        (301, "POST", "GET", false),
        (302, "POST", "GET", false),
        (303, "POST", "GET", false),
        (303, "PUT", "GET", false),
        (301, "PUT", "PUT", true),
        (302, "PATCH", "PATCH", true),
        (307, "POST", "POST", true),
        (308, "POST", "POST", true),
        (307, "DELETE", "DELETE", true),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let sent = with(
            request(method.clone(), &to(&origin, code, "/echo"), "body"),
            "content-type",
            "text/x",
        );
        let whole = rig.whole(with(sent, "x-kept", "1")).await.unwrap();
        let seen = whole.json();
        assert_eq!(seen["method"], then, "{code} {method}");
        assert_eq!(
            seen["body"],
            if kept { "body" } else { "" },
            "{code} {method}"
        );
        assert_eq!(whole.echoed("content-type").len(), usize::from(kept));
        assert_eq!(whole.echoed("x-kept"), ["1"]);
        let length: &[&str] = if kept { &["4"] } else { &[] };
        assert_eq!(whole.echoed("content-length"), length, "{code} {method}");
    }
    let mut head = get(&to(&origin, 303, "/echo"));
    head.method = Method::HEAD;
    assert_eq!(rig.whole(head).await.unwrap().url.path(), "/echo");
    rig.finish().await;
}

#[tokio::test]
async fn credentials_stay_within_their_origin() {
    let origin = TestOrigin::builder().start().unwrap();
    let other = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    for (target, kept) in [
        ("/echo".to_owned(), true),
        (origin.url("/echo"), true),
        (other.url("/echo"), false),
        (origin.url_at("localhost", "/echo"), false),
        // There and back again: what is gone is gone.
        (to(&other, 302, &origin.url("/echo")), false),
    ] {
        let target: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
        let mut request = get(&to(&origin, 302, &target));
        for name in ["authorization", "cookie", "x-api-key"] {
            request = with(request, name, "secret");
        }
        let whole = rig.whole(request).await.unwrap();
        let count = usize::from(kept);
        assert_eq!(whole.echoed("authorization").len(), count, "{target}");
        assert_eq!(whole.echoed("cookie").len(), count, "{target}");
        assert_eq!(
            whole.echoed("x-api-key").len(),
            1,
            "only the standard ones are known"
        );
        let host = whole.url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        assert_eq!(whole.echoed("host"), [host]);
    }
    rig.finish().await;
}

#[tokio::test]
async fn urls_of_redirects_are_resolved_and_the_last_is_told() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    for (start, target, end) in [
        ("", "/echo", "/echo"),
        ("#part", "/echo", "/echo#part"),
        ("#part", "/echo%23other", "/echo#other"),
        ("", "echo?x=1", "/echo?x=1"),
        ("", "./a/../echo", "/echo"),
    ] {
        let whole = rig
            .get(&format!("{}{start}", to(&origin, 302, target)))
            .await
            .unwrap();
        assert_eq!(whole.url.as_str(), origin.url(end));
        assert_eq!(whole.json()["path"], "/echo", "no fragment is sent");
    }
    let whole = rig.get(&origin.url("/echo?a=%2e%2E/b#f")).await.unwrap();
    assert_eq!(
        (whole.url.fragment(), whole.json()["query"].as_str()),
        (Some("f"), Some("a=%2e%2E/b"))
    );
    rig.finish().await;
}

#[tokio::test]
async fn twenty_redirects_are_followed_and_no_more() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    assert_eq!(
        rig.get(&origin.url("/redirect?n=20"))
            .await
            .unwrap()
            .url
            .path(),
        "/echo"
    );
    let before = origin.stats().requests;
    assert_eq!(
        rig.fails(&origin.url("/redirect?n=21")).await,
        ErrorName::LimitExceeded
    );
    assert_eq!(origin.stats().requests - before, 21);
    rig.finish().await;
}

#[tokio::test]
async fn redirects_may_be_looked_at_or_refused() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    let mut manual = get(&to(&origin, 302, "/echo"));
    manual.redirect = RedirectMode::Manual;
    let whole = rig.whole(manual).await.unwrap();
    assert_eq!(
        (whole.status.as_u16(), &whole.headers["location"]),
        (302, &"/echo".parse().unwrap())
    );
    let mut refused = get(&to(&origin, 302, "/echo"));
    refused.redirect = RedirectMode::Error;
    assert_eq!(
        rig.whole(refused).await.unwrap_err().name,
        ErrorName::HttpRequestDenied
    );
    // No redirects for want of a location, or by their status.
    for path in [
        "/status?code=302",
        "/status?code=304",
        "/redirect?code=300&to=/echo",
    ] {
        assert!(
            rig.get(&origin.url(path))
                .await
                .unwrap()
                .status
                .is_redirection()
        );
    }
    assert_eq!(origin.stats().requests, 5);
    rig.finish().await;
}

#[tokio::test]
async fn a_streamed_body_follows_only_where_it_is_dropped() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    for (code, followed) in [(303, true), (307, false)] {
        let mut streamed = post(&to(&origin, code, "/echo"), "");
        let body = http_body_util::Full::from("streamed").map_err(|never| match never {});
        streamed.body = RequestBody::stream(Box::pin(body));
        let outcome = rig.whole(streamed).await;
        assert_eq!(outcome.is_ok(), followed, "{code}");
        let denied = outcome.is_err_and(|error| error.name == ErrorName::HttpRequestDenied);
        assert_eq!(denied, !followed);
    }
    rig.finish().await;
}

#[tokio::test]
async fn a_streamed_body_that_was_not_touched_can_be_sent_again() {
    let peer = Peer::bind().await;
    let addr = peer.addr;
    let mut config = config();
    config.lanes[0].1.retry.retries = 2;
    config.lanes[0].1.retry.base = std::time::Duration::from_millis(1);
    let rig = Rig::new(config);
    // Refused at first; a listener appears before the last attempt.
    drop(peer);
    let refused = rig.fails(&format!("http://{addr}/")).await;
    assert_eq!(refused, ErrorName::ConnectionRefused);
    let mut streamed = with(post(&format!("http://{addr}/"), ""), "idempotency-key", "1");
    let body = http_body_util::Full::from("streamed").map_err(|never| match never {});
    streamed.body = RequestBody::stream(Box::pin(body));
    let refused = rig.whole(streamed).await.unwrap_err();
    assert_eq!(refused.name, ErrorName::ConnectionRefused);
    assert_eq!(rig.count.last().moved.sent, 0);
    rig.finish().await;
}
