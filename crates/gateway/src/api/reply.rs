//! The API's response to a message or DELETE, whichever way it came.

use bytes::Bytes;
use fetchway_upstream as upstream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

use super::item::STATE;

const SEND: &str = "fetchway-send";

/// The header fields of a response to a message that matter, with `retry-after` for the pool.
pub(super) const WANTED: &[&str] = &["content-type", STATE, SEND, "retry-after"];

/// The parts of a response that matter to a client.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) media_type: Option<HeaderValue>,
    /// A new value for `Fetchway-State`.
    pub(crate) state: Option<HeaderValue>,
    /// The body is sent to the client even when it is empty.
    pub(crate) always: bool,
    pub(crate) body: Bytes,
}

impl Reply {
    fn new(status: StatusCode, body: Bytes) -> Self {
        Self {
            status,
            media_type: None,
            state: None,
            always: false,
            body,
        }
    }

    /// Returns true if the body is a message to the client. The body of another 2xx is about the
    /// request.
    pub(crate) fn is_message(&self) -> bool {
        matches!(self.status, StatusCode::OK | StatusCode::NO_CONTENT)
            && (self.always || !self.body.is_empty())
    }
}

impl From<Response<Bytes>> for Reply {
    fn from(response: Response<Bytes>) -> Self {
        let (mut head, body) = response.into_parts();
        Self {
            media_type: head.headers.remove(CONTENT_TYPE),
            state: head.headers.remove(STATE),
            always: head.headers.get(SEND).is_some_and(|v| v == "always"),
            ..Self::new(head.status, body)
        }
    }
}

impl From<upstream::Response> for Reply {
    fn from(response: upstream::Response) -> Self {
        let mut reply = Self::new(response.status, response.body);
        for (name, value) in response.fields {
            match name {
                "content-type" => reply.media_type = Some(value),
                STATE => reply.state = Some(value),
                SEND => reply.always = value == "always",
                _ => {}
            }
        }
        reply
    }
}

/// Returns true if a body of this media type is a text message. Bytes that are not UTF-8 never are.
pub(crate) fn is_text(media_type: Option<&HeaderValue>, body: &[u8]) -> bool {
    let kind = media_type.and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next();
    let kind = kind.unwrap_or_default().trim();
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    let begins = |with: &str| {
        let begin = kind.as_bytes().get(..with.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(with.as_bytes()))
    };
    let ends = |with: &str| {
        let at = kind.len().checked_sub(with.len());
        at.is_some_and(|at| kind.as_bytes()[at..].eq_ignore_ascii_case(with.as_bytes()))
    };
    let says_text = kind.is_empty()
        || begins("text/")
        || ends("json")
        || ends("xml")
        || is("application/javascript")
        || is("application/x-www-form-urlencoded");
    says_text && std::str::from_utf8(body).is_ok()
}
