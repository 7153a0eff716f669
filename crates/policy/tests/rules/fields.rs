//! Header fields and methods.

use fetchway_policy::ErrorName;
use fetchway_policy::headers::{
    Coding, content_codings, method, request_field, strip_decoded, strip_request, strip_response,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

const HOP_BY_HOP: [&str; 11] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Authentication-Info",
    "HTTP2-Settings",
];
const OURS: [&str; 3] = ["Host", "Content-Length", "Expect"];

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect(name);
            (
                name,
                HeaderValue::from_bytes(value.as_bytes()).expect(value),
            )
        })
        .collect()
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

/// `name` in the case that the bits of `case` say.
fn recased(name: &str, case: u32) -> String {
    let letter = |(at, c): (usize, char)| match case >> (at % 32) & 1 {
        0 => c.to_ascii_lowercase(),
        _ => c.to_ascii_uppercase(),
    };
    name.chars().enumerate().map(letter).collect()
}

fn ignored() -> impl Strategy<Value = &'static str> {
    proptest::sample::select([&HOP_BY_HOP[..], &OURS[..]].concat())
}

proptest! {
    #[test]
    fn nothing_that_passes_can_break_a_line(name in field_text(), value in field_text()) {
        if let Ok(Some((name, value))) = request_field(&name, &value) {
            let breaks = |b: &u8| matches!(b, b'\r' | b'\n' | 0);
            prop_assert!(!name.as_str().as_bytes().iter().any(breaks));
            prop_assert!(!name.as_str().contains([':', ' ']));
            prop_assert!(!value.as_bytes().iter().any(breaks));
        }
    }

    #[test]
    fn a_break_anywhere_is_refused_and_the_value_kept_secret(
        before in "[a-z]{0,8}", after in "[a-z]{0,8}", at in 0usize..5,
    ) {
        let bad = ["\r", "\n", "\0", "\u{7f}", "\u{1b}"][at];
        let value = format!("hush{before}{bad}{after}hush");
        let error = request_field("X-Key", &value).expect_err("malformed");
        prop_assert_eq!(error.name, ErrorName::InvalidRequest);
        prop_assert!(error.detail.contains("x-key") && !error.detail.contains("hush"));
        let error = request_field(&format!("n{before}{bad}{after}"), "v").expect_err("malformed");
        prop_assert_eq!(error.name, ErrorName::InvalidRequest);
        prop_assert!(!error.detail.contains(bad));
    }

    #[test]
    fn ignored_fields_are_ignored_in_any_case(name in ignored(), case: u32, value in "[ -~]*") {
        prop_assert_eq!(request_field(&recased(name, case), &value), Ok(None));
    }

    #[test]
    fn what_is_ignored_is_stripped_and_nothing_else(
        listed in proptest::collection::vec((ignored(), any::<u32>()), 0..6),
        others in proptest::collection::vec("x-[a-z]{1,6}", 0..6),
        nominated in proptest::collection::vec("y-[a-z]{1,6}", 0..4),
    ) {
        let mut headers = HeaderMap::new();
        let mut put = |name: &str, value: &str| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        };
        for name in others.iter().chain(&nominated) {
            put(name, "kept?");
            put(name, "kept twice?");
        }
        for (name, case) in &listed {
            put(&recased(name, *case), "gone");
        }
        put("connection", &nominated.join(" ,, "));
        let mut request = headers.clone();
        strip_request(&mut request);
        let mut kept = others.clone();
        kept.sort();
        kept.dedup();
        prop_assert_eq!(names(&request), kept);
        let mut response = headers;
        strip_response(&mut response);
        for name in HOP_BY_HOP {
            prop_assert!(!response.contains_key(name));
        }
        for name in OURS {
            let was = listed.iter().any(|(listed, _)| *listed == name);
            prop_assert_eq!(response.contains_key(name), was);
        }
    }

    #[test]
    fn methods_are_tokens_or_refused(name in "\\PC*") {
        if let Ok(method) = method(&name) {
            prop_assert!(method.as_str().eq_ignore_ascii_case(&name) || name.is_empty());
            prop_assert!(method.as_str().bytes().all(|b| b.is_ascii_graphic() && b != b':'));
        }
    }
}

/// Text with the hazards of a field in it.
fn field_text() -> impl Strategy<Value = String> {
    "([a-zA-Z-]|[\r\n\0\t :]|\\PC){0,12}"
}

#[test]
fn fields_are_trimmed_and_may_hold_any_text() {
    for (value, sent) in [
        ("plain", &b"plain"[..]),
        (" \t padded \t", b"padded"),
        ("in\tside", b"in\tside"),
        ("grüß", "grüß".as_bytes()),
        ("", b""),
        ("  ", b""),
    ] {
        let field = request_field("X-Text", value).expect("accepted");
        let (name, sent_value) = field.expect("not ignored");
        assert_eq!((name.as_str(), sent_value.as_bytes()), ("x-text", sent));
    }
    for name in ["", " ", "a b", "a:", ":path", "ü", "a\r\nb", "(x)"] {
        let error = request_field(name, "v").expect_err(name);
        assert_eq!(error.name, ErrorName::InvalidRequest);
    }
    let spaced = request_field("a b", "v").expect_err("no token");
    assert!(spaced.detail.contains("goes on with a space"), "{spaced}");
    let swallowed = request_field("Authorization: Bearer hush", "").expect_err("no token");
    assert!(swallowed.detail.contains("`Authorization`"), "{swallowed}");
    assert!(!swallowed.detail.contains("hush"), "{swallowed}");
}

#[test]
fn several_connection_fields_nominate() {
    let mut headers = map(&[
        ("connection", "close, Content-Type"),
        ("connection", "X-Hop,close"),
        ("content-type", "text/plain"),
        ("x-hop", "1"),
        ("x-end", "2"),
        ("transfer-encoding", "chunked"),
    ]);
    strip_response(&mut headers);
    assert_eq!(names(&headers), ["x-end"]);
}

#[test]
fn a_decoded_body_loses_its_coding_and_length() {
    let mut headers = map(&[
        ("content-encoding", "gzip"),
        ("content-length", "5"),
        ("etag", "e"),
    ]);
    strip_decoded(&mut headers);
    assert_eq!(names(&headers), ["etag"]);
}

#[test]
fn codings_are_read_in_order() {
    use Coding::{Brotli, Deflate, Gzip, Zstd};
    for (lines, codings) in [
        (&[][..], &[][..]),
        (&["identity"], &[]),
        (&["gzip"], &[Gzip]),
        (&["X-GZIP"], &[Gzip]),
        (&["br , zstd"], &[Brotli, Zstd]),
        (&["deflate", " ,Identity,", "gzip"], &[Deflate, Gzip]),
    ] {
        let headers = lines.iter().map(|line| ("content-encoding", *line));
        let headers = map(&headers.collect::<Vec<_>>());
        assert_eq!(
            content_codings(&headers).expect("known"),
            codings,
            "{lines:?}"
        );
    }
    for line in [
        "compress",
        "gzip, br, gzip",
        "gzip;q=1",
        "\"gzip\"",
        "gzip br",
        "grün",
    ] {
        let error = content_codings(&map(&[("content-encoding", line)])).expect_err(line);
        assert_eq!(error.name, ErrorName::HttpResponseContentCoding);
    }
}

#[test]
fn methods_are_normalised_as_whatwg_does() {
    for (name, expected) in [
        ("", "GET"),
        ("get", "GET"),
        ("Post", "POST"),
        ("pUT", "PUT"),
        ("delete", "DELETE"),
        ("head", "HEAD"),
        ("options", "OPTIONS"),
        ("patch", "patch"),
        ("PATCH", "PATCH"),
        ("query", "query"),
        ("X-custom!", "X-custom!"),
    ] {
        assert_eq!(method(name).expect(name).as_str(), expected);
    }
    assert_eq!(method("PATCH"), Ok(Method::PATCH));
    for name in [
        "CONNECT", "connect", "Trace", "TRACK", "G ET", " GET", "GET\r\n", "ÄÖ", "a/b",
    ] {
        let error = method(name).expect_err(name);
        assert_eq!(error.name, ErrorName::InvalidRequest);
    }
}
