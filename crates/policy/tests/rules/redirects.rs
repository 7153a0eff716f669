//! Redirects: the method matrix, credentials, locations, bounds.

use std::iter;

use fetchway_policy::redirect::{
    Follow, Hop, MAX_REDIRECTS, MAX_URL_BYTES, RedirectMode, decide, location, same_origin, target,
};
use fetchway_policy::{ErrorName, FetchError};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use proptest::prelude::*;
use url::Url;

const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];
const CREDENTIALS: [&str; 4] = ["authorization", "cookie", "cookie2", "proxy-authorization"];
const BODY: [&str; 5] = [
    "content-encoding",
    "content-language",
    "content-location",
    "content-type",
    "content-length",
];

fn url(text: &str) -> Url {
    Url::parse(text).expect(text)
}

/// One hop of a GET from `http://a.example/dir/page?q#top`, followed.
fn follow(location: &[u8]) -> Result<Option<Follow>, FetchError> {
    let url = url("http://a.example/dir/page?q#top");
    decide(
        RedirectMode::Follow,
        &hop(&url, &Method::GET, 302, location),
    )
}

fn hop<'a>(url: &'a Url, method: &'a Method, status: u16, location: &'a [u8]) -> Hop<'a> {
    Hop {
        url,
        method,
        status: StatusCode::from_u16(status).expect("a status"),
        location: Some(location),
        followed: 0,
        replayable: true,
    }
}

fn full_headers() -> HeaderMap {
    let names = CREDENTIALS.into_iter().chain(BODY);
    names
        .chain(["host", "x-other"])
        .map(|name| {
            (
                http::HeaderName::from_static(name),
                HeaderValue::from_static("v"),
            )
        })
        .collect()
}

fn a_method() -> impl Strategy<Value = Method> {
    const NAMES: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "post", "X"];
    proptest::sample::select(&NAMES[..]).prop_map(|n| Method::from_bytes(n.as_bytes()).expect(n))
}

fn a_location() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "/[a-z]{0,3}",
        "[a-z]{1,3}[?#][a-z]{0,3}",
        "https?://([a-z]{1,3}:[a-z]{1,3}@)?[ab]\\.example(:8080)?/[a-z]{0,3}(#[a-z]{1,3})?",
        "//[ab]\\.example/",
    ]
}

proptest! {
    #[test]
    fn the_method_matrix(method in a_method(), status in proptest::sample::select(&STATUSES[..]), replayable: bool) {
        let url = url("http://a.example/");
        let hop = Hop { replayable, ..hop(&url, &method, status, b"/b") };
        let to_get = match (status, method.as_str()) {
            (301 | 302, "POST") => true,
            (303, "GET" | "HEAD") => false,
            (303, _) => true,
            _ => false,
        };
        match decide(RedirectMode::Follow, &hop) {
            Ok(Some(next)) => {
                prop_assert!(to_get || replayable);
                prop_assert_eq!(next.drop_body, to_get);
                prop_assert_eq!(next.method, if to_get { Method::GET } else { method });
            }
            Ok(None) => prop_assert!(false, "a redirect was not taken for one"),
            Err(error) => {
                prop_assert!(!to_get && !replayable);
                prop_assert_eq!(error.name, ErrorName::HttpRequestDenied);
            }
        }
    }

    #[test]
    fn a_chain_ends_and_credentials_stay_with_their_origin(
        method in a_method(),
        hops in proptest::collection::vec((proptest::sample::select(&STATUSES[..]), a_location()), 0..40),
    ) {
        let start = url("https://user.example/");
        let (mut at, mut method, mut headers) = (start, method, full_headers());
        let mut left_origin = false;
        let mut followed = 0;
        // After the given hops, one that leads to itself for ever.
        let endless = iter::repeat((302, String::from("/loop")));
        for (status, location) in hops.into_iter().chain(endless) {
            let hop = Hop { followed, ..hop(&at, &method, status, location.as_bytes()) };
            match decide(RedirectMode::Follow, &hop) {
                Ok(Some(next)) => {
                    followed += 1;
                    prop_assert!(followed <= MAX_REDIRECTS);
                    prop_assert!(matches!(next.url.scheme(), "http" | "https"));
                    prop_assert_eq!((next.url.username(), next.url.password()), ("", None));
                    prop_assert_eq!(next.cross_origin, !same_origin(&at, &next.url));
                    prop_assert_eq!(next.cross_origin, at.origin() != next.url.origin());
                    next.apply(&mut headers);
                    left_origin |= next.cross_origin;
                    for name in CREDENTIALS {
                        prop_assert_eq!(headers.contains_key(name), !left_origin);
                    }
                    if next.drop_body {
                        prop_assert!(!BODY.iter().any(|name| headers.contains_key(*name)));
                    }
                    prop_assert!(headers.contains_key("x-other"));
                    (at, method) = (next.url, next.method);
                }
                Ok(None) => prop_assert!(false, "a redirect was not taken for one"),
                Err(error) => {
                    prop_assert_eq!(error.name, ErrorName::LimitExceeded);
                    prop_assert_eq!(followed, MAX_REDIRECTS);
                    break;
                }
            }
        }
    }

    #[test]
    fn any_location_gives_a_sendable_url_or_a_named_error(location: Vec<u8>) {
        match follow(&location) {
            Ok(next) => {
                let next = next.expect("a redirect with a location");
                prop_assert!(next.url.has_host());
                prop_assert!(target(&next.url).is_ok(), "{}", next.url);
            }
            Err(error) => prop_assert!(
                matches!(error.name, ErrorName::HttpProtocolError | ErrorName::HttpRequestDenied)
            ),
        }
    }
}

#[test]
fn locations_are_resolved() {
    let long = format!("/{}", "x".repeat(100));
    for (location, expected) in [
        (&b"/b"[..], "http://a.example/b#top"),
        (b"b?c", "http://a.example/dir/b?c#top"),
        (b"/b#own", "http://a.example/b#own"),
        (b"#", "http://a.example/dir/page?q#"),
        (b"", "http://a.example/dir/page?q#top"),
        (b"//b.example", "http://b.example/#top"),
        (b"https://u:p@b.example:443/x", "https://b.example/x#top"),
        ("/ü".as_bytes(), "http://a.example/%C3%BC#top"),
        (b"/\xfc", "http://a.example/%FC#top"),
        (
            "http://bücher.example/".as_bytes(),
            "http://xn--bcher-kva.example/#top",
        ),
        (long.as_bytes(), &format!("http://a.example{long}#top")),
    ] {
        let next = follow(location).expect("followed").expect("a redirect");
        assert_eq!(next.url.as_str(), expected);
    }
}

#[test]
fn unusable_locations_have_names() {
    let too_long = format!("/{}", "x".repeat(MAX_URL_BYTES));
    let grown = "ü".repeat(MAX_URL_BYTES / 3);
    for (location, name) in [
        (&b"http://"[..], ErrorName::HttpProtocolError),
        (b"http://[::1", ErrorName::HttpProtocolError),
        (b"http://b.example:99999/", ErrorName::HttpProtocolError),
        (b"http://\xff.example/", ErrorName::HttpProtocolError),
        (too_long.as_bytes(), ErrorName::HttpProtocolError),
        (grown.as_bytes(), ErrorName::HttpProtocolError),
        (b"ftp://b.example/", ErrorName::HttpRequestDenied),
        (b"file:///etc/passwd", ErrorName::HttpRequestDenied),
        (b"data:text/plain,x", ErrorName::HttpRequestDenied),
        (b"javascript:alert(1)", ErrorName::HttpRequestDenied),
    ] {
        let error = follow(location).expect_err("unusable");
        assert_eq!(error.name, name, "{error}");
    }
}

#[test]
fn modes_and_other_statuses() {
    let url = url("http://a.example/");
    let get = Method::GET;
    for status in [200, 204, 300, 304, 305, 306, 404] {
        for mode in [
            RedirectMode::Follow,
            RedirectMode::Manual,
            RedirectMode::Error,
        ] {
            assert_eq!(decide(mode, &hop(&url, &get, status, b"/b")), Ok(None));
        }
    }
    for status in STATUSES {
        let hop = hop(&url, &get, status, b"/b");
        assert_eq!(decide(RedirectMode::Manual, &hop), Ok(None));
        let error = decide(RedirectMode::Error, &hop).expect_err("refused");
        assert_eq!(error.name, ErrorName::HttpRequestDenied);
        let bare = Hop {
            location: None,
            ..hop
        };
        assert_eq!(decide(RedirectMode::Follow, &bare), Ok(None));
    }
    for mode in [
        RedirectMode::Follow,
        RedirectMode::Manual,
        RedirectMode::Error,
    ] {
        assert_eq!(mode.as_str().parse(), Ok(mode));
    }
    let error = "Follow".parse::<RedirectMode>().expect_err("another word");
    assert_eq!(error.name, ErrorName::InvalidRequest);
}

#[test]
fn one_location_counts_and_several_must_agree() {
    let mut headers = HeaderMap::new();
    assert_eq!(location(&headers), Ok(None));
    headers.append("location", HeaderValue::from_static("/a"));
    headers.append("location", HeaderValue::from_static("/a"));
    assert_eq!(location(&headers), Ok(Some(&b"/a"[..])));
    headers.append("location", HeaderValue::from_static("/b"));
    let error = location(&headers).expect_err("ambiguous");
    assert_eq!(error.name, ErrorName::HttpProtocolError);
}
