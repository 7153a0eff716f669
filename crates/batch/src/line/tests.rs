//! Tests that a line has its fields, and reads back.

use bytes::{Bytes, BytesMut};
use fetchway_policy::{ErrorName, FetchError};
use fetchway_wire::json::ClientLine;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use url::Url;

use super::decode::NextPage;
use super::*;
use crate::outcome::{Outcome, Response, Timing};

fn outcome(result: Result<Response, FetchError>) -> Outcome {
    Outcome {
        index: 41,
        depth: 0,
        next: None,
        id: None,
        fingerprint: 0x0123_4567_89ab_cdef,
        url: "http://h.example/\"a\"".to_owned(),
        result,
        attempts: 2,
        timing: Timing {
            scheduled: 1_764_000_000_000_001,
            sent: Some(1_764_000_000_001_020),
            first_byte: None,
            end: 1_764_000_000_002_300,
        },
    }
}

fn response(status: u16) -> Response {
    let mut headers = HeaderMap::new();
    headers.append("x-a", "1".parse().unwrap());
    headers.append("x-a", "2".parse().unwrap());
    Response {
        url: Url::parse("http://h.example/b").unwrap(),
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: Bytes::new(),
    }
}

fn line(outcome: &Outcome, body: &LineBody<'_>) -> (Value, Option<Record>) {
    let mut out = BytesMut::new();
    encode(&mut out, outcome, body);
    let line = out.strip_suffix(b"\n").unwrap();
    assert!(!line.contains(&b'\n'));
    (serde_json::from_slice(line).unwrap(), decode(line))
}

#[test]
fn a_response_has_these_fields() {
    let (value, record) = line(&outcome(Ok(response(200))), &LineBody::Inside(b"h\ni"));
    let expected = json!({
        "index": 41, "url": "http://h.example/\"a\"", "finalUrl": "http://h.example/b",
        "status": 200, "headers": {"x-a": "1, 2"}, "body": "h\ni", "attempts": 2,
        "timing": {"scheduled": 1_764_000_000_000.001, "sent": 1_764_000_000_001.02,
            "end": 1_764_000_000_002.3},
        "fingerprint": "0123456789abcdef",
    });
    assert_eq!(value, expected);
    let record = record.unwrap();
    assert_eq!(record.index, 41);
    assert_eq!(record.fingerprint, 0x0123_4567_89ab_cdef);
    assert!(!record.failed);
}

#[test]
fn a_line_in_pieces_is_the_same_line() {
    let error = FetchError::new(ErrorName::DnsError, "no such name");
    let with = |body: &'static [u8]| {
        let mut response = response(200);
        response.body = Bytes::from_static(body);
        outcome(Ok(response))
    };
    for of in [
        with(b"a\nb"),
        with(b"\xff\x00\x01\x02"),
        with(b""),
        outcome(Err(error)),
    ] {
        let mut whole = BytesMut::new();
        let body = match &of.result {
            Ok(response) => response.body.clone(),
            Err(_) => Bytes::new(),
        };
        encode(&mut whole, &of, &LineBody::Inside(&body));
        let mut line = of.into_line();
        let len = line.len();
        let mut pieces = BytesMut::new();
        while line.write(&mut pieces, 1) {}
        assert_eq!((&pieces, len), (&whole, whole.len()));
    }
}

#[test]
fn a_client_reads_it() {
    let read = |of: Result<Response, FetchError>, body: &[u8]| {
        let mut out = BytesMut::new();
        encode(&mut out, &outcome(of), &LineBody::Inside(body));
        match serde_json::from_slice(&out).unwrap() {
            ClientLine::Outcome(outcome) => *outcome,
            ClientLine::End(..) => panic!("it is an outcome"),
        }
    };
    let it = read(Ok(response(200)), b"hi");
    assert_eq!((it.index, it.attempts, &*it.answer.body), (41, 2, "hi"));
    assert_eq!(it.answer.url.as_deref(), Some("http://h.example/b"));
    assert_eq!(it.timing.sent, Some(1_764_000_000_001.02));
    let error = FetchError::new(ErrorName::DnsError, "no such name");
    let it = read(Err(error), b"");
    assert_eq!(it.answer.error_code.as_deref(), Some("dns_error"));
}

#[test]
fn bytes_are_base64_and_a_file_is_named() {
    let (value, _) = line(&outcome(Ok(response(200))), &LineBody::Inside(b"\xff\x00"));
    assert_eq!(
        (&value["bodyBase64"], value.get("body")),
        (&json!("/wA="), None)
    );
    let (value, _) = line(&outcome(Ok(response(200))), &LineBody::File("b/0/41"));
    assert_eq!(value["bodyFile"], "b/0/41");
    assert!(value.get("body").or(value.get("bodyBase64")).is_none());
}

#[test]
fn a_failure_has_its_name_and_reads_back_as_one() {
    let error = FetchError::new(ErrorName::DnsError, "no such name");
    let (value, record) = line(&outcome(Err(error)), &LineBody::Inside(b""));
    assert_eq!(value["errorCode"], "dns_error");
    assert_eq!(
        (&value["error"], &value["status"]),
        (&json!("no such name"), &json!(0))
    );
    assert!(record.unwrap().failed);
    for (status, failed) in [(304, false), (400, true), (503, true)] {
        let of = outcome(Ok(response(status)));
        assert_eq!(of.is_failed(), failed);
        assert_eq!(line(&of, &LineBody::Inside(b"")).1.unwrap().failed, failed);
    }
}

#[test]
fn an_id_is_echoed_and_stays_on_its_line() {
    let Ok((_, fetch)) = fetchway_wire::json::decode_item(
        b"{\"url\":\"http://h.example\",\"id\":{\"a\":\n\"b\\n\"}}",
    ) else {
        panic!("it is a request")
    };
    let mut of = outcome(Ok(response(200)));
    of.id = Some(fetch.id);
    assert_eq!(
        line(&of, &LineBody::Inside(b"")).0["id"],
        json!({"a": "b\n"})
    );
}

#[test]
fn a_page_has_its_depth_and_names_the_next() {
    let mut of = outcome(Ok(response(200)));
    (of.depth, of.next) = (3, Some(Url::parse("http://h.example/\"c").unwrap()));
    let (value, record) = line(&of, &LineBody::Inside(b""));
    assert_eq!(
        (&value["depth"], &value["next"]),
        (&json!(3), &json!("http://h.example/%22c"))
    );
    let next = |leaves| NextPage {
        url: "http://h.example/%22c".into(),
        leaves,
    };
    let record = record.unwrap();
    assert_eq!((record.depth, record.next), (3, Some(next(false))));
    of.url = "https://h.example/b".to_owned();
    let (_, record) = line(&of, &LineBody::Inside(b""));
    assert_eq!(record.unwrap().next, Some(next(true)));
    // What failed names nothing, whatever its line says.
    of.result = Ok(response(500));
    assert_eq!(line(&of, &LineBody::Inside(b"")).1.unwrap().next, None);
}

#[test]
fn what_is_no_outcome_does_not_read_back() {
    for not in [
        "",
        "{}",
        "7",
        "{\"index\":1,\"status\":200}",
        "{\"index\":1,\"status\":200,\"fingerprint\":\"12\"}",
        "{\"index\":1,\"status\":200,\"fingerprint\":\"+123456789abcdef\"}",
        "{\"index\":-1,\"status\":200,\"fingerprint\":\"0123456789abcdef\"}",
        "{\"index\":1,\"status\":200,\"fingerprint\":\"0123456789abcdef\"} x",
    ] {
        assert_eq!(decode(not.as_bytes()), None, "{not}");
    }
}
