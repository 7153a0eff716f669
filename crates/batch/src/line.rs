//! An outcome as a line of the output, and what of it is read back to resume.
//!
//! The names are those of the relay's JSON answers where they mean the same. `index` comes first,
//! for people; readers must not rely on any order.

use std::borrow::Cow;

use bytes::BytesMut;
use fetchway_wire::json::Encoder;
use fetchway_wire::json::text::{base64, escape, fields, number, string};
use http::StatusCode;
use serde::Deserialize;
use url::Url;

use crate::outcome::is_failure;
use crate::{Outcome, Response, Timing, follow};

/// Room for a line at first, its body aside.
const LINE: usize = 512;

/// A response's body as its line has it.
pub(crate) enum Shown<'a> {
    /// In the line.
    Inside(&'a [u8]),
    /// In this file.
    File(&'a str),
}

/// Appends the line of `outcome`, line end included.
pub(crate) fn encode(out: &mut BytesMut, outcome: &Outcome, body: &Shown<'_>) {
    put_before(out, outcome);
    if outcome.result.is_ok() {
        put_body(out, body);
    }
    out.extend_from_slice(b"}\n");
}

/// The line of `outcome` as it is written in pieces, line end included: its body is held as it is, and
/// its JSON never exists whole.
pub(crate) fn encoder(outcome: Outcome) -> Encoder {
    let mut before = BytesMut::with_capacity(LINE);
    put_before(&mut before, &outcome);
    if let Ok(response) = outcome.result {
        let names = [b",\"body\":", b",\"bodyBase64\":".as_slice()];
        return Encoder::new(before, response.body, names, b"\"}\n");
    }
    before.extend_from_slice(b"}\n");
    Encoder::plain(before)
}

/// All of the line but its body and its end.
fn put_before(out: &mut BytesMut, outcome: &Outcome) {
    out.extend_from_slice(b"{\"index\":");
    number(out, outcome.index);
    if outcome.depth > 0 {
        out.extend_from_slice(b",\"depth\":");
        number(out, u64::from(outcome.depth));
    }
    if let Some(id) = &outcome.id {
        out.extend_from_slice(b",\"id\":");
        // Between tokens a line end is white space, and within a string there is none.
        out.extend(id.as_json().bytes().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => byte,
        }));
    }
    out.extend_from_slice(b",\"url\":");
    string(out, &outcome.url);
    match &outcome.result {
        Ok(response) => put_response(out, response),
        Err(error) => {
            out.extend_from_slice(b",\"status\":0,\"errorCode\":");
            string(out, error.name.as_str());
            out.extend_from_slice(b",\"error\":");
            string(out, &error.detail);
        }
    }
    if let Some(next) = &outcome.next {
        out.extend_from_slice(b",\"next\":");
        string(out, next.as_str());
    }
    out.extend_from_slice(b",\"attempts\":");
    number(out, u64::from(outcome.attempts));
    put_timing(out, &outcome.timing);
    out.extend_from_slice(b",\"fingerprint\":\"");
    put_hex(out, outcome.fingerprint);
    out.extend_from_slice(b"\"");
}

fn put_response(out: &mut BytesMut, response: &Response) {
    out.extend_from_slice(b",\"finalUrl\":");
    string(out, response.url.as_str());
    out.extend_from_slice(b",\"status\":");
    out.extend_from_slice(response.status.as_str().as_bytes());
    out.extend_from_slice(b",");
    fields(out, &response.headers);
}

fn put_body(out: &mut BytesMut, body: &Shown<'_>) {
    match body {
        Shown::File(path) => {
            out.extend_from_slice(b",\"bodyFile\":");
            string(out, path);
        }
        Shown::Inside(bytes) if std::str::from_utf8(bytes).is_ok() => {
            out.extend_from_slice(b",\"body\":\"");
            escape(out, bytes);
            out.extend_from_slice(b"\"");
        }
        Shown::Inside(bytes) => {
            out.extend_from_slice(b",\"bodyBase64\":\"");
            base64(out, bytes);
            out.extend_from_slice(b"\"");
        }
    }
}

/// Milliseconds with three decimals, as the relay's are milliseconds. What did not happen is left
/// out.
fn put_timing(out: &mut BytesMut, timing: &Timing) {
    out.extend_from_slice(b",\"timing\":{");
    let scheduled = Some(timing.scheduled).filter(|at| *at > 0);
    let moments = [
        ("\"scheduled\":", scheduled),
        ("\"sent\":", timing.sent),
        ("\"firstByte\":", timing.first_byte),
        ("\"end\":", Some(timing.end)),
    ];
    let mut comma = b"".as_slice();
    for (name, at) in moments {
        let Some(at) = at else { continue };
        out.extend_from_slice(comma);
        out.extend_from_slice(name.as_bytes());
        number(out, at / 1000);
        let rest = at % 1000;
        let digits = [rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8);
        out.extend_from_slice(b".");
        out.extend_from_slice(&digits);
        comma = b",";
    }
    out.extend_from_slice(b"}");
}

fn put_hex(out: &mut BytesMut, n: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits: [u8; 16] = std::array::from_fn(|at| HEX[(n >> (60 - 4 * at)) as usize & 15]);
    out.extend_from_slice(&digits);
}

/// What resuming needs of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The item's place in the input.
    pub(crate) index: u64,
    /// The item's, when it was fetched.
    pub(crate) fingerprint: u64,
    /// As [`Outcome::is_failed`] has it.
    pub(crate) failed: bool,
    /// Which of the item's pages it is.
    pub(crate) depth: u32,
    /// The page that comes after it.
    pub(crate) next: Option<Next>,
}

/// A page that a line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// Its URL, as it stands there.
    pub(crate) url: Box<str>,
    /// It is of another origin than the line's own page.
    pub(crate) leaves: bool,
}

#[derive(Deserialize)]
struct Shape<'a> {
    index: u64,
    #[serde(default)]
    depth: u32,
    #[serde(borrow, default)]
    url: Cow<'a, str>,
    #[serde(default)]
    next: Option<Box<str>>,
    status: u16,
    #[serde(borrow)]
    fingerprint: Cow<'a, str>,
}

/// Reads a line back. All of it must be JSON; `None` if it is not, or no outcome.
pub(crate) fn decode(line: &[u8]) -> Option<Record> {
    let shape: Shape<'_> = serde_json::from_slice(line).ok()?;
    let digits = shape.fingerprint.as_bytes();
    if digits.len() != 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let failed = match shape.status {
        0 => true,
        status => is_failure(StatusCode::from_u16(status).ok()?),
    };
    Some(Record {
        index: shape.index,
        depth: shape.depth,
        next: shape.next.filter(|_| !failed).map(|url| Next {
            leaves: leaves(&shape.url, &url),
            url,
        }),
        fingerprint: u64::from_str_radix(&shape.fingerprint, 16).ok()?,
        failed,
    })
}

/// Whether these are of different origins; what is no URL is.
fn leaves(from: &str, to: &str) -> bool {
    match (Url::parse(from), Url::parse(to)) {
        (Ok(from), Ok(to)) => follow::leaves(&from, &to),
        _ => true,
    }
}

/// The URL of a line, for errors.
pub(crate) fn url_of(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Url {
        url: String,
    }
    serde_json::from_slice::<Url>(line).ok().map(|it| it.url)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fetchway_policy::{ErrorName, FetchError};
    use fetchway_wire::json::ClientLine;
    use http::HeaderMap;
    use serde_json::{Value, json};

    use super::*;

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

    fn line(outcome: &Outcome, body: &Shown<'_>) -> (Value, Option<Record>) {
        let mut out = BytesMut::new();
        encode(&mut out, outcome, body);
        let line = out.strip_suffix(b"\n").unwrap();
        assert!(!line.contains(&b'\n'));
        (serde_json::from_slice(line).unwrap(), decode(line))
    }

    #[test]
    fn a_response_has_these_fields() {
        let (value, record) = line(&outcome(Ok(response(200))), &Shown::Inside(b"h\ni"));
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
            encode(&mut whole, &of, &Shown::Inside(&body));
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
            encode(&mut out, &outcome(of), &Shown::Inside(body));
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
        let (value, _) = line(&outcome(Ok(response(200))), &Shown::Inside(b"\xff\x00"));
        assert_eq!(
            (&value["bodyBase64"], value.get("body")),
            (&json!("/wA="), None)
        );
        let (value, _) = line(&outcome(Ok(response(200))), &Shown::File("b/0/41"));
        assert_eq!(value["bodyFile"], "b/0/41");
        assert!(value.get("body").or(value.get("bodyBase64")).is_none());
    }

    #[test]
    fn a_failure_has_its_name_and_reads_back_as_one() {
        let error = FetchError::new(ErrorName::DnsError, "no such name");
        let (value, record) = line(&outcome(Err(error)), &Shown::Inside(b""));
        assert_eq!(value["errorCode"], "dns_error");
        assert_eq!(
            (&value["error"], &value["status"]),
            (&json!("no such name"), &json!(0))
        );
        assert!(record.unwrap().failed);
        for (status, failed) in [(304, false), (400, true), (503, true)] {
            let of = outcome(Ok(response(status)));
            assert_eq!(of.is_failed(), failed);
            assert_eq!(line(&of, &Shown::Inside(b"")).1.unwrap().failed, failed);
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
        assert_eq!(line(&of, &Shown::Inside(b"")).0["id"], json!({"a": "b\n"}));
    }

    #[test]
    fn a_page_has_its_depth_and_names_the_next() {
        let mut of = outcome(Ok(response(200)));
        (of.depth, of.next) = (3, Some(Url::parse("http://h.example/\"c").unwrap()));
        let (value, record) = line(&of, &Shown::Inside(b""));
        assert_eq!(
            (&value["depth"], &value["next"]),
            (&json!(3), &json!("http://h.example/%22c"))
        );
        let next = |leaves| Next {
            url: "http://h.example/%22c".into(),
            leaves,
        };
        let record = record.unwrap();
        assert_eq!((record.depth, record.next), (3, Some(next(false))));
        of.url = "https://h.example/b".to_owned();
        let (_, record) = line(&of, &Shown::Inside(b""));
        assert_eq!(record.unwrap().next, Some(next(true)));
        // What failed names nothing, whatever its line says.
        of.result = Ok(response(500));
        assert_eq!(line(&of, &Shown::Inside(b"")).1.unwrap().next, None);
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
}
