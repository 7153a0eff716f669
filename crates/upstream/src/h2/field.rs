//! The meaning of a single response field. The meaning is found once: a field in HPACK's table keeps
//! it.

use http::{HeaderValue, StatusCode};

use crate::fields;

/// The meaning of a response field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// `:status`.
    Status(StatusCode),
    /// `content-length`.
    Length(u64),
    /// A field to keep, by its position in [`Limits::wanted`](crate::Limits::wanted).
    Wanted(usize, HeaderValue),
    /// A field that is not needed.
    Other,
    /// A field that makes the response malformed (RFC 9113 section 8.2), with the reason.
    Malformed(&'static str),
}

impl Meaning {
    pub(super) fn of(name: &[u8], value: &[u8], wanted: &[&str]) -> Self {
        if let Some(reason) = fault(name, value) {
            return Self::Malformed(reason);
        }
        if name == b":status" {
            let status = StatusCode::from_bytes(value).ok();
            return status.map_or(Self::Malformed("an invalid :status"), Self::Status);
        }
        if name == b"content-length" {
            let length = fields::length(value);
            return length.map_or(Self::Malformed("an invalid content-length"), Self::Length);
        }
        match fields::position(name, wanted) {
            None => Self::Other,
            Some(position) => fields::keep(value).map_or(Self::Malformed(VALUE), |value| {
                Self::Wanted(position, value)
            }),
        }
    }
}

const VALUE: &str = "an invalid field value";

fn fault(name: &[u8], value: &[u8]) -> Option<&'static str> {
    match name {
        [] => return Some("an empty field name"),
        b":status" => {}
        [b':', ..] => return Some("an unknown pseudo-header field"),
        // Fields about an HTTP/1.1 connection. Each has one of these lengths.
        _ if matches!(name.len(), 7 | 10 | 16 | 17) && is_of_connection(name) => {
            return Some("a connection-specific field");
        }
        _ if !name.iter().all(|&byte| is_name(byte)) => return Some("an invalid field name"),
        _ => {}
    }
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let valid = fields::is_value(value) && !blank(value.first()) && !blank(value.last());
    (!valid).then_some(VALUE)
}

fn is_of_connection(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade"
    )
}

/// Returns true for a character of an HTTP/2 field name: a token character (RFC 9110 section 5.6.2)
/// that is not upper case.
fn is_name(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'#'..=b'\'' | b'*' | b'+'
        | b'^' | b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_lower_case_ones_of_http() {
        for byte in 0..=u8::MAX {
            let known = http::HeaderName::from_lowercase(&[b'a', byte]).is_ok();
            // The `http` crate accepts quotation marks, which a token must not contain.
            assert_eq!(is_name(byte), known && byte != b'"', "{byte:#x}");
        }
    }

    #[test]
    fn fields_mean_what_they_say() {
        let wanted = ["content-type"];
        let of = |name: &str, value: &str| Meaning::of(name.as_bytes(), value.as_bytes(), &wanted);
        assert_eq!(of(":status", "200"), Meaning::Status(StatusCode::OK));
        assert_eq!(of("content-length", "12"), Meaning::Length(12));
        let json = HeaderValue::from_static("json");
        assert_eq!(of("content-type", "json"), Meaning::Wanted(0, json));
        assert_eq!(of("date", ""), Meaning::Other);
        for (name, value) in [
            ("", "x"),
            (":path", "/"),
            (":status", "20"),
            (":status", "abc"),
            ("Date", "x"),
            ("da te", "x"),
            ("connection", "close"),
            ("keep-alive", "1"),
            ("proxy-connection", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "x"),
            ("content-length", "1x"),
            ("date", "a\nb"),
            ("date", "a\0"),
            ("date", " a"),
            ("date", "a\t"),
        ] {
            let meaning = of(name, value);
            assert!(
                matches!(meaning, Meaning::Malformed(_)),
                "{name}: {value:?}"
            );
        }
    }
}
