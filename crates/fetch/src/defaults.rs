//! Defaults of a request, as fetch has them in browsers.

use fetchway_policy::headers;
use http::{HeaderValue, header};

use crate::request::FetchRequest;

/// Removes fields that a caller must not set, and fills in those that are missing.
pub(crate) fn set(request: &mut FetchRequest, user_agent: &HeaderValue) {
    let headers = &mut request.headers;
    let wants_trailers = headers.get_all(header::TE).iter().any(wants_trailers);
    headers::strip_request(headers);
    if wants_trailers {
        // Set again after its removal as a hop-by-hop field, because the engine passes trailers on.
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if !headers.contains_key(header::ACCEPT) {
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    }
    if !headers.contains_key(header::USER_AGENT) {
        headers.insert(header::USER_AGENT, user_agent.clone());
    }
    if request.decode && !headers.contains_key(header::ACCEPT_ENCODING) {
        let accepted = match headers.contains_key(header::RANGE) {
            // Ranges of coded bytes can't be decoded.
            true => "identity",
            false => "gzip, br, zstd, deflate",
        };
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
    }
}

fn wants_trailers(te: &HeaderValue) -> bool {
    let mut members = te.as_bytes().split(|b| *b == b',');
    members.any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}
