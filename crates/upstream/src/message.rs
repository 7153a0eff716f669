//! What is asked, what is answered, and how much of an answer is kept.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

/// A request whose body is whole. Its scheme is `http`.
///
/// The caller vouches for what stands in it: none of it is looked at. HEAD and CONNECT are not for
/// these machines, as their responses are framed by rules of their own.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, such as `POST`.
    pub method: &'a str,
    /// Host and port: `Host`, or `:authority`.
    pub authority: &'a str,
    /// Path and query, encoded.
    pub path: &'a str,
    /// The other fields: names in lower case, values as in a [`HeaderValue`]. Neither `host` nor
    /// `content-length`, which are set here, nor fields that are about the connection.
    pub fields: &'a [(&'a str, &'a [u8])],
    /// The body. `content-length` is always sent, for an empty one too.
    pub body: &'a [u8],
}

/// How much of a response is taken, and what of it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a response's head, and again of its trailers and chunk extensions together. Beyond it
    /// the response fails with `http_response_header_section_size`.
    pub head: usize,
    /// Bytes of a response's body. Beyond it the response fails with `http_response_body_size`.
    pub body: usize,
    /// Bytes of a response's body that may come over HTTP/2 before there is more room for it: at least
    /// 64 KiB, which a server may send before it has read our SETTINGS, and under 2 GiB. Over HTTP/1.1 the driver stops reading.
    pub free: u32,
    /// Names of the fields to keep, in lower case. All others are checked and let go,
    /// and `content-length` too over HTTP/2: what it says is known.
    pub wanted: &'static [&'static str],
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status, never an informational one.
    pub status: StatusCode,
    /// Its wanted fields, in the order in which they came. Trailers are not among them.
    pub fields: Vec<(&'static str, HeaderValue)>,
    /// Its body. Its length is within [`Limits::body`].
    pub body: Bytes,
}

impl Answer {
    /// The first field of this name, in lower case. Only wanted ones can be found.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&HeaderValue> {
        let found = self.fields.iter().find(|(kept, _)| *kept == name);
        found.map(|(_, value)| value)
    }
}
