//! An item of a line: a URL, or a JSON object, which begins with a brace.

use bytes::Bytes;
use fetchway_policy::redirect::parse_url;
use fetchway_policy::{ErrorName, FetchError};
use fetchway_wire::json::{Id, decode_item};
use http::Method;

use crate::fingerprint::fingerprint;
use crate::{Item, Request};

/// Bytes of one line of an input; a longer one is a bad line. As many as a relay takes in a message.
pub const MAX_LINE: usize = 48 << 20;

/// Characters of a bad line that its item shows.
const EXCERPT: usize = 200;

/// Where an item stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Among the items, from 0.
    pub(crate) index: u64,
    /// Among the lines, from 1; none in a range.
    pub(crate) line: Option<u64>,
}

/// The item of a line that has more than `limit` bytes.
pub(crate) fn too_long(place: Place, limit: usize) -> Item {
    let error = FetchError::new(
        ErrorName::LimitExceeded,
        format!("A line has more than the {limit} bytes that one may have: shorten it."),
    );
    bad(place, None, String::new(), 0, error)
}

/// The item of a line without white space around it; `None` is one that is too long.
pub(crate) fn item(place: Place, line: Option<&[u8]>) -> Item {
    let Some(line) = line else {
        return too_long(place, MAX_LINE);
    };
    let fingerprint = fingerprint(line);
    let (id, read) = if line.starts_with(b"{") {
        json(line)
    } else {
        (None, url(line))
    };
    match read {
        Ok((url, request)) => Item {
            depth: 0,
            index: place.index,
            id,
            url,
            request: Ok(request),
            fingerprint,
        },
        Err(error) => bad(place, id, excerpt(line), fingerprint, error),
    }
}

type Read = Result<(String, Request), FetchError>;

fn url(line: &[u8]) -> Read {
    let Ok(text) = std::str::from_utf8(line) else {
        let detail = "The line is not UTF-8: write a URL or a JSON object.";
        return Err(FetchError::new(ErrorName::InvalidRequest, detail));
    };
    let request = Request::new(Method::GET, parse_url(text)?, None, Bytes::new());
    Ok((text.to_owned(), request))
}

fn json(line: &[u8]) -> (Option<Id>, Read) {
    let (id, read) = match decode_item(line) {
        Ok((url, fetch)) => (Some(fetch.id), Ok((url, fetch.request))),
        Err(refusal) => (refusal.id, Err(refusal.error)),
    };
    (id.filter(|id| id.as_json() != "null"), read)
}

fn bad(place: Place, id: Option<Id>, url: String, fingerprint: u64, error: FetchError) -> Item {
    let error = match place.line {
        Some(line) => FetchError::new(error.name, format!("Line {line}: {}", error.detail)),
        None => error,
    };
    Item {
        depth: 0,
        index: place.index,
        id,
        url,
        request: Err(error),
        fingerprint,
    }
}

fn excerpt(line: &[u8]) -> String {
    // A character has at most four bytes; no more of the line need be looked at.
    let start = &line[..line.len().min(EXCERPT * 4)];
    String::from_utf8_lossy(start)
        .chars()
        .take(EXCERPT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Item {
        let place = Place {
            index: 6,
            line: Some(8),
        };
        item(place, Some(line.as_bytes()))
    }

    #[test]
    fn a_url_is_a_get() {
        let item = read("https://h.example/a b");
        let request = item.request.unwrap();
        assert_eq!(request.method, Method::GET);
        assert_eq!(request.url.as_str(), "https://h.example/a%20b");
        assert_eq!(
            (item.url.as_str(), item.index),
            ("https://h.example/a b", 6)
        );
        assert!(item.id.is_none());
    }

    #[test]
    fn a_json_line_is_a_request_of_the_relay_and_needs_no_id() {
        let item = read(
            r#"{"url":"http://h.example","method":"post","headers":{"x-a":"1"},"bodyBase64":"/w==","lane":"slow","id":{"a": 1}}"#,
        );
        assert_eq!(item.id.unwrap().as_json(), r#"{"a": 1}"#);
        let request = item.request.unwrap();
        assert_eq!(request.method, Method::POST);
        assert_eq!(request.headers["x-a"], "1");
        assert_eq!(&request.body[..], b"\xff");
        assert_eq!(request.lane.as_deref(), Some("slow"));
        for without in [
            r#"{"url":"http://h.example"}"#,
            r#"{"url":"http://h.example","id":null}"#,
        ] {
            assert!(read(without).id.is_none());
        }
    }

    #[test]
    fn a_bad_line_is_an_item_that_says_its_line_and_what_is_wrong() {
        for (line, says) in [
            ("h.example", "Line 8: the URL has no scheme"),
            ("ftp://h.example", "Line 8: URLs of scheme"),
            ("{\"url\":", "Line 8: Invalid JSON"),
            ("{}", "Line 8: The request has no url"),
            ("{\"url\":\"http://h.example\",\"cancel\":1}", "cancel"),
        ] {
            let item = read(line);
            assert_eq!(item.url, line);
            let error = item.request.unwrap_err();
            assert_eq!(error.name, ErrorName::InvalidRequest);
            assert!(error.detail.contains(says), "{}", error.detail);
        }
        let item = read(r#"{"url":"no","id":7}"#);
        assert_eq!(item.id.unwrap().as_json(), "7");
    }

    #[test]
    fn a_bad_line_is_shown_up_to_a_length() {
        let item = read(&"ä".repeat(5_000));
        assert_eq!(item.url, "ä".repeat(EXCERPT));
    }
}
