//! The JSON messages that are read: a fetch's outcome. `docs/json.md`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fetchway_policy::{ErrorName, FetchError};
use fetchway_wire::json::ClientResponse;
use fetchway_wire::v1::ResponseHead;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;

use crate::error::Error;

/// A response, whole.
pub(crate) type Whole = (Box<ResponseHead>, Bytes);

/// What a message of the relay's is about.
pub(super) enum Answer {
    /// One of our fetches.
    To(u64, Result<Whole, Error>),
    /// A message of ours that was over the relay's limit, so that it was not read.
    TooLong(Error),
    /// Something else.
    Other,
}

/// All that need be readable of an answer.
#[derive(Deserialize)]
struct Named {
    id: Option<serde_json::Value>,
}

/// Reads an answer. `None`: it is no JSON object.
pub(super) fn read(text: &[u8]) -> Option<Answer> {
    let answer: ClientResponse = match serde_json::from_slice(text) {
        Ok(answer) => answer,
        Err(error) => {
            let named: Named = serde_json::from_slice(text).ok()?;
            let id = named.id.and_then(|id| id.as_u64());
            return Some(id.map_or(Answer::Other, |id| Answer::To(id, Err(unreadable(&error)))));
        }
    };
    let Some(id) = answer.id.as_u64() else {
        let limit = ErrorName::LimitExceeded.as_str();
        if answer.error_code.as_deref() != Some(limit) {
            return Some(Answer::Other);
        }
        return Some(outcome(answer).map_or_else(Answer::TooLong, |_| Answer::Other));
    };
    Some(Answer::To(id, outcome(answer)))
}

/// The relay has answered; what became of the fetch cannot be read.
fn unreadable(why: impl std::fmt::Display) -> Error {
    let detail = format!("The relay's answer cannot be read: {why}.");
    Error::new(ErrorName::HttpProtocolError, detail)
}

/// What became of a fetch.
pub(crate) fn outcome(answer: ClientResponse) -> Result<Whole, Error> {
    if answer.status == 0 || answer.error.is_some() && answer.error_code.is_some() {
        return Err(failed(answer.error_code.as_deref(), answer.error));
    }
    let status = StatusCode::from_u16(answer.status);
    let status = status.map_err(|_| unreadable("a status that is none"))?;
    let mut fields = HeaderMap::with_capacity(answer.headers.len());
    let cookies = answer.set_cookie;
    for (name, value) in &answer.headers {
        if name == header::SET_COOKIE.as_str() && !cookies.is_empty() {
            continue;
        }
        let name =
            HeaderName::try_from(name).map_err(|_| unreadable("a field's name that is none"))?;
        fields.append(
            name,
            field(value).ok_or_else(|| unreadable("a forbidden field"))?,
        );
    }
    for cookie in &cookies {
        let value = field(cookie).ok_or_else(|| unreadable("a forbidden cookie"))?;
        fields.append(header::SET_COOKIE, value);
    }
    let body = match answer.body_base64 {
        Some(coded) => STANDARD
            .decode(coded)
            .map_err(|_| unreadable("a body that is no base64"))?
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

/// What a relay says of a failure, with its name. Older servers give no names.
pub(crate) fn failed(code: Option<&str>, detail: Option<String>) -> Error {
    let known = |code: &str| {
        let mut names = ErrorName::ALL.iter();
        names.find(|name| name.as_str() == code).copied()
    };
    let name = code.and_then(known);
    let name = name.unwrap_or(ErrorName::ProxyInternalError);
    let detail = detail.unwrap_or_else(|| "The relay does not say why.".to_owned());
    Error::of_relay(FetchError::new(name, detail))
}

fn field(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::By;

    fn to(text: &[u8]) -> (u64, Result<Whole, Error>) {
        match read(text) {
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
        assert!(matches!(read(long), Some(Answer::TooLong(error)) if error.by == By::Relay));
        for other in [&br#"{"id":"unknown","status":0,"error":"?"}"#[..], b"{}"] {
            assert!(matches!(read(other), Some(Answer::Other)));
        }
        for broken in [&br#"{"id":3,"status":200"#[..], b"hello", b"[]"] {
            assert!(read(broken).is_none());
        }
    }
}
