//! HTTP's own rules end to end: redirects as browsers follow them, fields that pass and fields that
//! don't, defaults.

use fetchway_fetch::RequestBody;
use fetchway_lab::Origin;
use fetchway_policy::ErrorName;
use fetchway_policy::redirect::RedirectMode;
use http::Method;
use http_body_util::BodyExt as _;

use crate::support::{Peer, Rig, config, get, post, request, trusting_origin, with};

fn to(origin: &Origin, code: u16, target: &str) -> String {
    origin.url(&format!("/redirect?code={code}&to={target}"))
}

#[tokio::test]
async fn methods_and_bodies_follow_the_redirect_table() {
    let origin = Origin::builder().start().unwrap();
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
    let origin = Origin::builder().start().unwrap();
    let other = Origin::builder().start().unwrap();
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
    let origin = Origin::builder().start().unwrap();
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
    let origin = Origin::builder().start().unwrap();
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
    let origin = Origin::builder().start().unwrap();
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
    let origin = Origin::builder().start().unwrap();
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
    config.lanes[0].1.retry.attempts = 3;
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

#[tokio::test]
async fn hop_by_hop_fields_stay_between_neighbours() {
    let h1 = Origin::builder().start().unwrap();
    let h2 = Origin::builder().tls().start().unwrap();
    let rig = Rig::new(trusting_origin(config(), &h2));
    for origin in [h1, h2] {
        let mut request = get(&origin.url("/echo"));
        for (name, value) in [
            ("connection", "close, X-Named"),
            ("x-named", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic eA=="),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("http2-settings", "AAMAAABk"),
            ("expect", "100-continue"),
            ("content-length", "7"),
            ("host", "elsewhere.test"),
            ("x-passes", "1"),
            ("x-passes", "2"),
        ] {
            request = with(request, name, value);
        }
        let whole = rig.whole(request).await.unwrap();
        let seen = whole.json();
        let mut names: Vec<&str> = seen["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| field[0].as_str().unwrap())
            .collect();
        names.sort_unstable();
        names.retain(|name| *name != "host");
        assert_eq!(
            names,
            [
                "accept",
                "accept-encoding",
                "user-agent",
                "x-passes",
                "x-passes"
            ]
        );
    }
    rig.finish().await;
}

#[tokio::test]
async fn responses_lose_theirs_too() {
    let peer = Peer::bind().await;
    let rig = Rig::new(config());
    let url = peer.url("/");
    let origin = async {
        let mut connection = peer.accept().await;
        connection.head().await;
        let answer = "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-named\r\nx-named: 1\r\n\
                      keep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nupgrade: h2c\r\n\
                      transfer-encoding: chunked\r\ntrailer: x\r\nset-cookie: a=1\r\n\
                      set-cookie: b=2\r\nx-passes: \u{e9}\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        connection
            .send(answer.chars().map(|c| c as u8).collect::<Vec<u8>>())
            .await;
        connection
    };
    let (whole, connection) = tokio::join!(rig.get(&url), origin);
    let whole = whole.unwrap();
    let mut names: Vec<&str> = whole
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["set-cookie", "set-cookie", "x-passes"]);
    assert_eq!(whole.headers["x-passes"].as_bytes(), b"\xe9");
    tokio::join!(rig.finish(), connection.closed());
}

#[tokio::test]
async fn what_a_request_does_not_say_is_filled_in() {
    let h1 = Origin::builder().start().unwrap();
    let h2 = Origin::builder().tls().start().unwrap();
    let mut config = trusting_origin(config(), &h2);
    config.user_agent = "a test".to_owned();
    let rig = Rig::new(config);
    for origin in [h1, h2] {
        let url = origin.url("/echo");
        let defaults = [
            ("accept", "*/*"),
            ("user-agent", "a test"),
            ("accept-encoding", "gzip, br, zstd, deflate"),
        ];
        let plain = rig.get(&url).await.unwrap();
        for (name, value) in defaults {
            assert_eq!(plain.echoed(name), [value]);
            let given = rig.whole(with(get(&url), name, "gzip")).await.unwrap();
            assert_eq!(given.echoed(name), ["gzip"]);
        }
        let mut raw = get(&url);
        raw.decode = false;
        assert!(
            rig.whole(raw)
                .await
                .unwrap()
                .echoed("accept-encoding")
                .is_empty()
        );
        let ranged = rig
            .whole(with(get(&url), "range", "bytes=0-"))
            .await
            .unwrap();
        assert_eq!(ranged.echoed("accept-encoding"), ["identity"]);
        // Lengths are said where a body is usual.
        for (method, body, length) in [
            ("POST", "", Some("0")),
            ("POST", "four", Some("4")),
            ("PUT", "", Some("0")),
            ("GET", "", None),
            ("DELETE", "", None),
            ("DELETE", "four", Some("4")),
        ] {
            let sent = request(method.parse().unwrap(), &url, body);
            let whole = rig.whole(sent).await.unwrap();
            assert_eq!(
                whole.echoed("content-length").first().map(String::as_str),
                length,
                "{method} {body}"
            );
        }
    }
    rig.finish().await;
}
