//! Encoding of a request.

use crate::Request;
use crate::decimal::Digits;

/// Appends `request` to `out`.
pub fn put_request(out: &mut Vec<u8>, request: &Request<'_>) {
    let length = Digits::of(request.body.len());
    out.reserve(room(request));
    for part in [request.method, " ", request.path, " HTTP/1.1\r\nhost: "] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(request.authority.as_bytes());
    for (name, value) in request.fields {
        put_field(out, name, value);
    }
    put_field(out, "content-length", length.as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(request.body);
}

/// Appends the end of the previous line and a field, without the end of its own line.
fn put_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
}

/// Returns the maximum encoded length of the request in bytes, so that `out` grows only once.
fn room(request: &Request<'_>) -> usize {
    // " HTTP/1.1", "host", "content-length" with its digits, and the ends of lines.
    const FIXED: usize = 72;
    let fields = request.fields.iter();
    let fields: usize = fields
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    let line = request.method.len() + request.path.len() + request.authority.len();
    FIXED + line + fields + request.body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_laid_out_and_its_room_known() {
        let request = Request {
            method: "POST",
            authority: "api.test:8000",
            path: "/a%20b?c",
            fields: &[("content-type", b"text/plain"), ("x", b"\xff")],
            body: b"hello",
        };
        let mut out = b"before".to_vec();
        put_request(&mut out, &request);
        let expected: &[u8] = b"beforePOST /a%20b?c HTTP/1.1\r\nhost: api.test:8000\r\n\
            content-type: text/plain\r\nx: \xff\r\ncontent-length: 5\r\n\r\nhello";
        assert_eq!(out, expected);
        assert!(out.len() - 6 <= room(&request), "it grows twice");
    }

    #[test]
    fn an_empty_body_has_a_length() {
        let request = Request {
            method: "DELETE",
            authority: "a",
            path: "/",
            fields: &[],
            body: b"",
        };
        let mut out = Vec::new();
        put_request(&mut out, &request);
        assert_eq!(
            out,
            b"DELETE / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
        );
    }
}
