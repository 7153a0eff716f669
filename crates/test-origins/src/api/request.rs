//! Requests as a script sees them, and its replies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

/// A request to the API.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// GET, POST or DELETE; anything else is answered 405 and no script sees it.
    pub method: Method,
    /// Path and query as they were sent.
    pub target: String,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// All fields, repeats kept.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl ApiRequest {
    /// The client's id: the first segment of the path, as it was sent.
    #[must_use]
    pub fn id(&self) -> &str {
        client(&self.target)
    }

    /// A field's first value, if it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text; what is no UTF-8 in it is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The first segment of a path with its query.
pub(super) fn client(target: &str) -> &str {
    let path = target.strip_prefix('/').unwrap_or(target);
    let end = path.find(['/', '?']).unwrap_or(path.len());
    &path[..end]
}

/// An answer of the API.
#[derive(Clone, Debug)]
pub struct ApiReply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) delay: Duration,
    pub(super) gate: Option<String>,
    pub(super) breaks: bool,
}

impl ApiReply {
    /// An answer without further fields.
    ///
    /// # Panics
    /// If `status` is none: below 100 or over 999.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::from_u16(status).expect("a status from 100 to 999"),
            headers: HeaderMap::new(),
            body: body.into(),
            delay: Duration::ZERO,
            gate: None,
            breaks: false,
        }
    }

    /// No answer: the connection is closed (h2: the stream is reset). The request has been counted.
    #[must_use]
    pub fn broken() -> Self {
        Self {
            breaks: true,
            ..Self::new(200, "")
        }
    }

    /// With one more field. The content length is added by itself.
    ///
    /// # Panics
    /// If name or value can't be in a field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).expect("a field's name");
        let value = HeaderValue::try_from(value).expect("a field's value");
        self.headers.append(name, value);
        self
    }

    /// After so long.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// When that gate is opened ([`Api::open_gate`](super::Api::open_gate)).
    #[must_use]
    pub fn held(mut self, gate: &str) -> Self {
        self.gate = Some(gate.to_owned());
        self
    }
}

/// Answers a request, or leaves it to the API.
pub(super) type Script = Arc<dyn Fn(&ApiRequest) -> Option<ApiReply> + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_first_segment() {
        for target in ["/a%2Fb", "/a%2Fb/c", "/a%2Fb?d=/e", "/a%2Fb/c?d"] {
            assert_eq!(client(target), "a%2Fb");
        }
        assert_eq!(client("/"), "");
    }
}
