//! Requests, responses, and the limits on responses.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

/// A request with a complete body. Its scheme is `http`.
///
/// The caller is responsible for valid contents: nothing is checked here. HEAD and CONNECT are not
/// supported, because their responses are framed by other rules.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Method, such as `POST`.
    pub method: &'a str,
    /// Host and port, sent as `Host` or `:authority`.
    pub authority: &'a str,
    /// Path and query, percent-encoded.
    pub path: &'a str,
    /// All other fields: names in lower case, values as in a [`HeaderValue`]. `host` and
    /// `content-length` are added by the machines, and fields about the connection are not allowed.
    pub fields: &'a [(&'a str, &'a [u8])],
    /// Body. `content-length` is always sent, for an empty body too.
    pub body: &'a [u8],
}

/// Limits on the length of a response, and the choice of the fields that are kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum length of a response's head in bytes, and also of its trailers and chunk extensions
    /// together. A longer response fails with `http_response_header_section_size`.
    pub head: usize,
    /// Maximum length of a response's body in bytes. A longer response fails with
    /// `http_response_body_size`.
    pub body: usize,
    /// Bytes of a response's body that may arrive over HTTP/2 before the driver grants more: at least
    /// 64 KiB, which a server may send before it has read our SETTINGS, and under 2 GiB. Over HTTP/1.1
    /// the driver stops reading instead.
    pub free: u32,
    /// Lower-case names of the fields to keep. All other fields are checked and dropped. Over HTTP/2
    /// this includes `content-length`, which has already been evaluated.
    pub wanted: &'static [&'static str],
}

/// A complete response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status, never an informational one.
    pub status: StatusCode,
    /// Fields chosen by [`Limits::wanted`], in their order of arrival, without trailers.
    pub fields: Vec<(&'static str, HeaderValue)>,
    /// Body, at most [`Limits::body`] bytes.
    pub body: Bytes,
}

impl Response {
    /// Returns the first field with this lower-case name. Only fields in [`Limits::wanted`] can be
    /// found.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&HeaderValue> {
        let found = self.fields.iter().find(|(kept, _)| *kept == name);
        found.map(|(_, value)| value)
    }
}
