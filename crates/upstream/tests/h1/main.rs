//! The HTTP/1.1 machine: framing of responses, refusals, and a foreign server.

mod refusals;
mod server;

use fetchway_policy::ErrorName;
use fetchway_upstream::h1::ResponseReader;
use fetchway_upstream::{Failure, Limits, Response};
use proptest::prelude::*;

pub(crate) const LIMITS: Limits = Limits {
    head: 1_024,
    body: 4_096,
    free: 64 << 10,
    wanted: &["content-type", "fetchway-state"],
};

/// Feeds a response in slices of these lengths, used again and again, and then ends the connection.
/// Returns the answer, and whether the connection could have been used again.
pub(crate) fn read(bytes: &[u8], slices: &[usize]) -> Result<(Response, bool), Failure> {
    let mut reading = ResponseReader::new();
    let mut rest = bytes;
    let mut slices = slices.iter().cycle();
    while !rest.is_empty() {
        let length = slices.next().map_or(rest.len(), |length| *length);
        let (slice, behind) = rest.split_at(length.clamp(1, rest.len()));
        rest = behind;
        if let Some(answer) = reading.take(slice, &LIMITS)? {
            return Ok((answer, reading.may_stay() && rest.is_empty()));
        }
        assert!(!reading.may_stay(), "it stays without being answered");
        assert!(reading.has_begun());
    }
    reading.end().map(|answer| (answer, false))
}

fn answer(bytes: &str) -> (Response, bool) {
    let whole = read(bytes.as_bytes(), &[]);
    for slices in [&[1][..], &[2], &[7, 2]] {
        let sliced = read(bytes.as_bytes(), slices);
        assert_eq!(whole, sliced, "{bytes:?} in slices of {slices:?}");
    }
    whole.unwrap_or_else(|failure| panic!("{bytes:?}: {failure}"))
}

#[test]
fn bodies_end_where_they_say() {
    for (response, status, body, stays) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            200,
            "hello",
            true,
        ),
        ("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 200, "", true),
        (
            "HTTP/1.1 200\r\ncontent-length: 2\r\ncontent-length: 2, 2\r\n\r\nhi",
            200,
            "hi",
            true,
        ),
        // Without a body because of their status.
        ("HTTP/1.1 204 No\r\n\r\n", 204, "", true),
        (
            "HTTP/1.1 304 Not\r\ncontent-length: 9\r\n\r\n",
            304,
            "",
            true,
        ),
        (
            "HTTP/1.1 204 No\r\ncontent-length: 9\r\n\r\n",
            204,
            "",
            false,
        ),
        // Ended by the end of the connection.
        ("HTTP/1.1 200 OK\r\n\r\nhello", 200, "hello", false),
        ("HTTP/1.0 200 OK\r\n\r\n", 200, "", false),
        // Fields about the connection.
        (
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\ncontent-length: 2\r\n\r\nhi",
            200,
            "hi",
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
            200,
            "hi",
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 2\r\n\r\nhi",
            200,
            "hi",
            true,
        ),
        // Bytes after the answer.
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi!",
            200,
            "hi",
            false,
        ),
        // Informational responses are dropped.
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 201 Created\r\n\
             content-length: 1\r\n\r\nx",
            201,
            "x",
            true,
        ),
        // Line ends without a CR are accepted in heads (RFC 9112 section 2.2).
        ("HTTP/1.1 200 OK\ncontent-length: 2\n\nhi", 200, "hi", true),
    ] {
        let (answer, stayed) = answer(response);
        assert_eq!(answer.status.as_u16(), status, "{response:?}");
        assert_eq!(answer.body, body, "{response:?}");
        assert_eq!(stayed, stays, "{response:?}");
    }
}

#[test]
fn chunks_are_joined() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n";
    for (fields, chunks, body, stays) in [
        ("", "5\r\nhello\r\n0\r\n\r\n", "hello", true),
        ("", "0\r\n\r\n", "", true),
        ("", "1\r\nh\r\n0004\r\nello\r\n000\r\n\r\n", "hello", true),
        ("", "5;a=b;c=\"d\"\r\nhello\r\n0 ;x\r\n\r\n", "hello", true),
        (
            "",
            "A\r\n0123456789\r\n0\r\na: b\r\nc: d\r\n\r\n",
            "0123456789",
            true,
        ),
        ("", "2\r\nhi\r\n0\r\n\r\nHTTP/1.1", "hi", false),
        // Framed in two ways: chunked counts, but no other request may follow.
        (
            "content-length: 2\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "hello",
            false,
        ),
    ] {
        let response = format!("{head}{fields}\r\n{chunks}");
        let (answer, stayed) = answer(&response);
        assert_eq!(answer.body, body, "{response:?}");
        assert_eq!(stayed, stays, "{response:?}");
    }
}

#[test]
fn wanted_fields_are_kept_and_no_others() {
    let (answer, _) = answer(
        "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Type: a\r\nFETCHWAY-State:  b \r\ncontent-type: c\r\n\
         content-length: 0\r\n\r\n",
    );
    let fields: Vec<(&str, &[u8])> = answer
        .fields
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    let expected: [(&str, &[u8]); 3] = [
        ("content-type", b"a"),
        ("fetchway-state", b"b"),
        ("content-type", b"c"),
    ];
    assert_eq!(fields, expected);
    assert_eq!(
        answer.field("content-type").map(|value| value.as_bytes()),
        Some(&b"a"[..])
    );
    assert_eq!(answer.field("date"), None);
}

#[test]
fn an_end_too_early_is_told() {
    let mut reading = ResponseReader::new();
    assert!(!reading.has_begun());
    let failure = reading.end().expect_err("nothing came");
    assert_eq!(failure.name(), ErrorName::ConnectionTerminated);
    for (response, name) in [
        ("HTTP/1.1 200 OK\r\n", ErrorName::ConnectionTerminated),
        (
            "HTTP/1.1 100 Continue\r\n\r\n",
            ErrorName::ConnectionTerminated,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
            ErrorName::HttpResponseIncomplete,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            ErrorName::HttpResponseIncomplete,
        ),
    ] {
        let failure = read(response.as_bytes(), &[]).expect_err(response);
        assert_eq!(failure.name(), name, "{response:?}");
        assert!(!failure.is_unsent());
    }
}

#[test]
fn bytes_without_a_request_are_none_of_it() {
    let mut reading = ResponseReader::new();
    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let answer = reading.take(response, &LIMITS).expect("a response");
    assert!(answer.is_some() && reading.may_stay());
    let failure = reading.take(response, &LIMITS).expect_err("one too many");
    assert_eq!(failure.name(), ErrorName::HttpProtocolError);
    assert!(!reading.may_stay());
}

/// Makes a response that is mostly valid.
fn response() -> impl Strategy<Value = Vec<u8>> {
    let head = prop_oneof![
        Just("HTTP/1.1 200 OK\r\n"),
        Just("HTTP/1.0 404 No\n"),
        Just("HTTP/1.1 204 No\r\n"),
        Just("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\n"),
        Just("\r\n\r\nHTTP/1.1 200 OK\r\n"),
    ];
    let field = prop_oneof![
        Just("content-length: 5\r\n".to_owned()),
        Just("content-length: 90000\r\n".to_owned()),
        Just("transfer-encoding: chunked\r\n".to_owned()),
        Just("connection: close\r\n".to_owned()),
        Just("content-type: a\n".to_owned()),
        Just("no field\r\n".to_owned()),
        (1usize..1_100).prop_map(|length| format!("x: {}\r\n", "x".repeat(length))),
    ];
    let body = prop_oneof![
        "[a-z]{0,12}",
        Just("5\r\nhello\r\n0\r\n\r\n".to_owned()),
        Just("2;e\r\nhi\r\n1\r\n!\r\n0\r\nt: x\r\n\r\n".to_owned()),
        Just("2\r\nhi\n".to_owned()),
        Just("1001\r\nhi\r\n".to_owned()),
        (0usize..5_000).prop_map(|length| "x".repeat(length)),
    ];
    let fields = prop::collection::vec(field, 0..5);
    (head, fields, prop::collection::vec(body, 1..3)).prop_map(|(head, fields, body)| {
        format!("{head}{}\r\n{}", fields.concat(), body.concat()).into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// For any slicing of a response, the result is the same.
    #[test]
    fn slices_change_nothing(
        response in response(),
        slices in prop::collection::vec(1usize..40, 1..6),
    ) {
        let whole = read(&response, &[]);
        let sliced = read(&response, &slices);
        prop_assert_eq!(whole.ok(), sliced.ok());
    }
}
