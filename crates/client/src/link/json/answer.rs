//! JSON messages that are received: the outcome of a fetch (`docs/json.md`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fetchway_policy::{ErrorName, FetchError};
use fetchway_wire::json::ClientResponse;
use fetchway_wire::v1::ResponseHead;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;

use crate::error::Error;

/// A response's head and its complete body.
pub(crate) type WholeResponse = (Box<ResponseHead>, Bytes);

/// A message from the relay.
pub(super) enum Answer {
    /// The outcome of the fetch with this id.
    To(u64, Result<WholeResponse, Error>),
    /// A request was longer than the relay's limit, so that the relay did not read its id.
    TooLong(Error),
    /// A message that is not about a fetch of this client.
    Other,
}

/// The only part that an answer must have to be assigned to a fetch.
#[derive(Deserialize)]
struct AnswerId {
    id: Option<serde_json::Value>,
}

/// Parses a message. Returns `None` if the text is not a JSON object.
pub(super) fn parse(text: &[u8]) -> Option<Answer> {
    let answer: ClientResponse = match serde_json::from_slice(text) {
        Ok(answer) => answer,
        Err(error) => {
            let named: AnswerId = serde_json::from_slice(text).ok()?;
            let id = named.id.and_then(|id| id.as_u64());
            return Some(id.map_or(Answer::Other, |id| Answer::To(id, Err(unreadable(&error)))));
        }
    };
    let Some(id) = answer.id.as_u64() else {
        let limit = ErrorName::LimitExceeded.as_str();
        if answer.error_code.as_deref() != Some(limit) {
            return Some(Answer::Other);
        }
        return Some(read_outcome(answer).map_or_else(Answer::TooLong, |_| Answer::Other));
    };
    Some(Answer::To(id, read_outcome(answer)))
}

/// Returns the error for an answer that cannot be read.
fn unreadable(why: impl std::fmt::Display) -> Error {
    let detail = format!("The relay's answer cannot be read: {why}.");
    Error::new(ErrorName::HttpProtocolError, detail)
}

/// Converts an answer to a response, or to the error that the relay reports.
///
/// # Errors
/// The relay's error; `http_protocol_error` for an answer that cannot be read.
pub(crate) fn read_outcome(answer: ClientResponse) -> Result<WholeResponse, Error> {
    if answer.status == 0 || answer.error.is_some() && answer.error_code.is_some() {
        return Err(read_error(answer.error_code.as_deref(), answer.error));
    }
    let status = StatusCode::from_u16(answer.status);
    let status = status.map_err(|_| unreadable("the status is not a number from 100 to 999"))?;
    let mut fields = HeaderMap::with_capacity(answer.headers.len());
    let cookies = answer.set_cookie;
    for (name, value) in &answer.headers {
        if name == header::SET_COOKIE.as_str() && !cookies.is_empty() {
            continue;
        }
        let name = HeaderName::try_from(name)
            .map_err(|_| unreadable("the name of a header field is invalid"))?;
        fields.append(
            name,
            field(value).ok_or_else(|| unreadable("the value of a header field is invalid"))?,
        );
    }
    for cookie in &cookies {
        let value = field(cookie).ok_or_else(|| unreadable("the value of a cookie is invalid"))?;
        fields.append(header::SET_COOKIE, value);
    }
    let body = match answer.body_base64 {
        Some(coded) => STANDARD
            .decode(coded)
            .map_err(|_| unreadable("the body is not valid base64"))?
            .into(),
        None => answer.body.into(),
    };
    let head = ResponseHead {
        tag: Bytes::new(),
        status,
        url: answer.url.unwrap_or_default(),
        fields,
    };
    Ok((Box::new(head), body))
}

/// Returns the error that a relay reports. Older servers give no name; the error is then
/// `proxy_internal_error`.
pub(crate) fn read_error(code: Option<&str>, detail: Option<String>) -> Error {
    let known = |code: &str| {
        let mut names = ErrorName::ALL.iter();
        names.find(|name| name.as_str() == code).copied()
    };
    let name = code.and_then(known);
    let name = name.unwrap_or(ErrorName::ProxyInternalError);
    let detail = detail.unwrap_or_else(|| "The relay gave no reason.".to_owned());
    Error::of_relay(FetchError::new(name, detail))
}

fn field(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::By;

    fn to(text: &[u8]) -> (u64, Result<WholeResponse, Error>) {
        match parse(text) {
            Some(Answer::To(id, outcome)) => (id, outcome),
            _ => panic!("no answer to a fetch: {}", String::from_utf8_lossy(text)),
        }
    }

    #[test]
    fn answers_are_read_with_and_without_names_of_failures() {
        let (id, whole) = to(
            br#"{"id":3,"status":200,"headers":{"a":"b","set-cookie":"x=1, y=2"},"setCookie":["x=1","y=2"],"body":"","bodyBase64":"/w==","url":"http://e/"}"#,
        );
        let (head, body) = whole.expect("a response");
        assert_eq!(
            (id, head.status, &body[..]),
            (3, StatusCode::OK, &[0xFF][..])
        );
        assert_eq!(head.fields.get_all("set-cookie").iter().count(), 2);
        let failed = |text: &[u8]| to(text).1.expect_err("it failed");
        let named = failed(
            br#"{"id":3,"status":0,"headers":{},"body":"","error":"no","errorCode":"dns_error"}"#,
        );
        assert_eq!(named.name, ErrorName::DnsError);
        let plain = failed(br#"{"id":3,"status":0,"headers":{},"body":"","error":"no"}"#);
        assert_eq!(
            (plain.name, &*plain.detail),
            (ErrorName::ProxyInternalError, "no")
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_answer_as_long_as_it_names_its_fetch() {
        for bad in [
            &br#"{"id":3,"status":"ok"}"#[..],
            br#"{"id":3}"#,
            br#"{"id":3,"status":99999,"headers":[]}"#,
            br#"{"id":3,"status":7}"#,
        ] {
            let (id, outcome) = to(bad);
            let error = outcome.expect_err("it cannot be read");
            assert_eq!((id, error.name), (3, ErrorName::HttpProtocolError));
            assert_eq!(error.by, By::Client);
        }
        let long = br#"{"id":"unknown","status":0,"error":"over","errorCode":"limit_exceeded"}"#;
        assert!(matches!(parse(long), Some(Answer::TooLong(error)) if error.by == By::Relay));
        for other in [&br#"{"id":"unknown","status":0,"error":"?"}"#[..], b"{}"] {
            assert!(matches!(parse(other), Some(Answer::Other)));
        }
        for broken in [&br#"{"id":3,"status":200"#[..], b"hello", b"[]"] {
            assert!(parse(broken).is_none());
        }
    }
}
