//! Requests as a script sees them, and its replies.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Version};

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

    /// Returns the first value of a header field; an empty text if there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// Returns the number of the message among those of its client.
    ///
    /// # Panics
    /// If the request has no `Fetchway-Sequence`.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.field("fetchway-sequence").parse().expect("a number")
    }

    /// Returns method, target and body in one line, to compare.
    #[must_use]
    pub fn line(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let line = format!("{} {} {body}", self.method, self.target);
        line.trim_end().to_owned()
    }
}

/// The first segment of a path with its query.
pub(super) fn client(target: &str) -> &str {
    let path = target.strip_prefix('/').unwrap_or(target);
    let end = path.find(['/', '?']).unwrap_or(path.len());
    &path[..end]
}

/// The reply of a script.
pub type ApiReply = Response<Bytes>;

/// Returns a 200 reply with a body.
#[must_use]
pub fn ok(body: impl Into<Bytes>) -> ApiReply {
    Response::new(body.into())
}

/// Returns a reply with any status and a body.
///
/// # Panics
/// For a status below 100 or above 999.
#[must_use]
pub fn status(code: u16, body: &'static str) -> ApiReply {
    let mut reply = ok(body);
    *reply.status_mut() = StatusCode::from_u16(code).expect("a status from 100 to 999");
    reply
}

/// A script's reply that is being prepared; `None` if the connection is to be broken instead.
pub(super) type PendingReply = Pin<Box<dyn Future<Output = Option<ApiReply>> + Send>>;

/// Answers each request.
pub(super) type Script = Arc<dyn Fn(ApiRequest) -> PendingReply + Send + Sync>;

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
