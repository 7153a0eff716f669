//! JSON messages that are sent: a fetch, a cancel, and an item of a batch (`docs/json.md`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fetchway_policy::redirect::RedirectMode;
use fetchway_policy::{ErrorName, Timeouts};
use fetchway_wire::v1::RequestHead;
use http::{HeaderMap, header};
use serde::Serialize;

use crate::error::Error;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    url: &'a str,
    method: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    lane: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Clocks>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decode: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Clocks {
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_idle: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<f64>,
}

/// Bytes of the longest message that is sent: the default limit of a relay. A relay with a lower limit
/// rejects the message itself.
pub(crate) const MAX_REQUEST: usize = 48 << 20;

/// Returns the error for a request of `len` bytes, which does not fit into a message.
pub(crate) fn too_long(len: usize) -> Error {
    let detail = format!(
        "The request has at least {len} bytes, more than the {MAX_REQUEST} that a JSON message may have: \
         use Encoding::Auto and a relay that supports fetchway.v1."
    );
    Error::new(ErrorName::LimitExceeded, detail)
}

/// Writes the message that asks for a fetch. `has_base64`: the relay accepts any body in base64.
///
/// # Errors
/// `invalid_request` for a field that is not UTF-8, which JSON cannot carry; `limit_exceeded`.
pub(super) fn fetch_message(
    id: u64,
    head: &RequestHead,
    body: &[u8],
    has_base64: bool,
) -> Result<String, Error> {
    if body.len() > MAX_REQUEST {
        return Err(too_long(body.len()));
    }
    let message = write(Some(id), head, body, has_base64)?;
    if message.len() > MAX_REQUEST {
        return Err(too_long(message.len()));
    }
    Ok(message)
}

/// Writes the line that asks for a fetch as an item of a batch, without a line end.
///
/// # Errors
/// `invalid_request` for a field that is not UTF-8.
pub(crate) fn batch_line(head: &RequestHead, body: &[u8]) -> Result<String, Error> {
    write(None, head, body, true)
}

fn write(
    id: Option<u64>,
    head: &RequestHead,
    body: &[u8],
    has_base64: bool,
) -> Result<String, Error> {
    let request = &head.request;
    let text = std::str::from_utf8(body).ok();
    let text = text.filter(|text| !has_base64 || !is_longer_than_base64(text));
    let message = Message {
        id,
        url: &request.url,
        method: request.method.as_str(),
        headers: fields(&request.headers)?,
        body: text.filter(|text| !text.is_empty()),
        body_base64: text.is_none().then(|| STANDARD.encode(body)),
        lane: &request.lane,
        timeout: clocks(&request.timeouts),
        redirect: (request.redirect != RedirectMode::Follow).then(|| request.redirect.as_str()),
        decode: (!request.decode).then_some(false),
    };
    serde_json::to_string(&message).map_err(|error| {
        let detail = format!("The request cannot be written as JSON ({error}).");
        Error::new(ErrorName::InvalidRequest, detail)
    })
}

/// Returns true if a text is longer as a JSON string than in base64: JSON writes a control character in six
/// bytes.
fn is_longer_than_base64(text: &str) -> bool {
    let escape = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0C => 1,
        0..0x20 => 5,
        _ => 0,
    };
    let escapes: usize = text.bytes().map(escape).sum();
    escapes > text.len().div_ceil(3)
}

/// Writes the message that cancels a fetch.
pub(super) fn cancel_message(id: u64) -> String {
    format!("{{\"cancel\":{id}}}")
}

fn fields(fields: &HeaderMap) -> Result<BTreeMap<&str, Cow<'_, str>>, Error> {
    let mut texts: BTreeMap<&str, Cow<'_, str>> = BTreeMap::new();
    // The relay sets Content-Length itself, and an older one would send the field twice.
    for (name, value) in fields
        .iter()
        .filter(|(name, _)| *name != header::CONTENT_LENGTH)
    {
        let Ok(value) = std::str::from_utf8(value.as_bytes()) else {
            let detail = format!(
                "The header field {name} is not UTF-8, which JSON cannot carry: remove the field."
            );
            return Err(Error::new(ErrorName::InvalidRequest, detail));
        };
        match texts.entry(name.as_str()) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Cow::Borrowed(value));
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                // RFC 9110 section 5.3, and RFC 6265 section 5.4 for cookies.
                let between = if name == header::COOKIE { "; " } else { ", " };
                let joined = entry.get_mut().to_mut();
                joined.push_str(between);
                joined.push_str(value);
            }
        }
    }
    Ok(texts)
}

fn clocks(timeouts: &Timeouts) -> Option<Clocks> {
    if *timeouts == Timeouts::default() {
        return None;
    }
    let millis = |time: Option<Duration>| time.map(|time| time.as_millis() as f64);
    Some(Clocks {
        connect: millis(timeouts.connect),
        header: millis(timeouts.header),
        body_idle: millis(timeouts.body_idle),
        total: millis(timeouts.total),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;

    use super::*;

    fn head() -> RequestHead {
        let mut fields = HeaderMap::new();
        fields.append("cookie", HeaderValue::from_static("a=1"));
        fields.append("cookie", HeaderValue::from_static("b=2"));
        fields.append("x", HeaderValue::from_static("1"));
        fields.append("x", HeaderValue::from_static("2"));
        RequestHead {
            tag: Bytes::new(),
            request: fetchway_policy::Request {
                method: http::Method::POST,
                url: "https://example.com/".to_owned(),
                headers: fields,
                body: (),
                lane: "slow".to_owned(),
                redirect: RedirectMode::Manual,
                decode: false,
                timeouts: Timeouts {
                    total: Some(Duration::from_secs(2)),
                    ..Timeouts::default()
                },
            },
        }
    }

    #[test]
    fn a_request_says_everything_and_nothing_twice() {
        let text = fetch_message(7, &head(), b"hello", true).expect("it can be written");
        assert_eq!(
            text,
            r#"{"id":7,"url":"https://example.com/","method":"POST","headers":{"cookie":"a=1; b=2","x":"1, 2"},"body":"hello","lane":"slow","timeout":{"total":2000.0},"redirect":"manual","decode":false}"#
        );
        let text = fetch_message(8, &head(), &[0xFF], false).expect("it can be written");
        assert!(text.contains(r#""bodyBase64":"/w==""#), "{text}");
    }

    #[test]
    fn a_body_is_sent_in_the_shorter_way_that_the_relay_knows() {
        let said = |body: &[u8], has_base64| {
            let text = fetch_message(8, &head(), body, has_base64).expect("it can be written");
            (
                text.contains(r#""body":"#),
                text.contains(r#""bodyBase64":"#),
            )
        };
        let (text, base64) = ((true, false), (false, true));
        assert_eq!(said(&[0; 30], true), base64);
        assert_eq!(said(br#"{"a":"b"}"#, true), base64);
        assert_eq!(said(br#"{"name":"value"}"#, true), text);
        // A server from before the subprotocols might not look at it.
        assert_eq!(said(&[0; 30], false), text);
    }

    #[test]
    fn what_counts_is_the_length_of_the_message() {
        // 12 MiB in base64, and 54 MiB as it is escaped.
        let zeros = vec![0; 9 << 20];
        let message = fetch_message(8, &head(), &zeros, true).expect("it fits");
        assert!(message.len() < 13 << 20, "{}", message.len());
        for too_long in [zeros, vec![b'a'; MAX_REQUEST]] {
            let error = fetch_message(8, &head(), &too_long, false).expect_err("too long");
            assert_eq!(error.name, ErrorName::LimitExceeded);
        }
    }
}
