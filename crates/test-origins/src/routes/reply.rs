//! Replies of the routes, and refusals.

use http::{HeaderValue, Response, StatusCode, header};

use crate::body::{Parts, whole};
use crate::query::{BadQuery, Query};

/// An answer whose body is not counted yet.
pub(super) type Reply = Response<Parts>;

/// Reason why a route gives no answer of its own.
pub(super) enum Refusal {
    /// The request is answered 400, with a sentence.
    Bad(BadQuery),
    /// The connection (h2: the stream) is broken.
    Drop,
}

impl From<BadQuery> for Refusal {
    fn from(bad: BadQuery) -> Self {
        Self::Bad(bad)
    }
}

pub(super) fn text(status: StatusCode, sentence: String) -> Reply {
    let mut reply = sized(
        sentence.len() as u64,
        "text/plain; charset=utf-8",
        whole(sentence),
    );
    *reply.status_mut() = status;
    reply
}

pub(super) fn json(value: &serde_json::Value) -> Reply {
    let written = value.to_string();
    sized(written.len() as u64, "application/json", whole(written))
}

/// Returns a reply with a `content-length`.
pub(super) fn sized(length: u64, content_type: &'static str, body: Parts) -> Reply {
    let mut reply = unsized_reply(content_type, body);
    reply
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    reply
}

/// Returns a reply without a `content-length`: chunked over HTTP/1.1.
pub(super) fn unsized_reply(content_type: &'static str, body: Parts) -> Reply {
    let mut reply = Response::new(body);
    reply
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// Reads a final status from a parameter.
pub(super) fn status_code(query: &Query, name: &str, default: u16) -> Result<StatusCode, BadQuery> {
    let code = query.number_or(name, default)?;
    StatusCode::from_u16(code)
        .ok()
        .filter(|status| !status.is_informational())
        .ok_or_else(|| {
            BadQuery(format!(
                "{name}={code} is no final status; give one from 200 to 999"
            ))
        })
}
