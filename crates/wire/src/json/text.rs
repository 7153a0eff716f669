//! JSON written by hand, for the values in every answer: strings (RFC 8259 section 7), numbers, base64
//! and header fields. Strings are written in pieces, so a body is never held twice, and the escaped
//! length is known before the first byte is written.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use http::{HeaderMap, header};

/// Additional bytes for each escaped byte: 0 if it is not escaped, 1 for a two-character escape, 5 for
/// `\u00XX`.
static EXTRA: [u8; 256] = {
    let mut extra = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        extra[control] = 5;
        control += 1;
    }
    let short = *b"\"\\\n\r\t\x08\x0C";
    let mut i = 0;
    while i < short.len() {
        extra[short[i] as usize] = 1;
        i += 1;
    }
    extra
};

/// Returns the length of `text` after escaping, without quotes.
pub(super) fn escaped_len(text: &[u8]) -> usize {
    text.iter()
        .map(|b| usize::from(EXTRA[*b as usize]))
        .sum::<usize>()
        + text.len()
}

/// Appends `text` escaped, without quotes. `text` may be any slice of UTF-8 text: only ASCII is ever
/// escaped.
pub fn escape(out: &mut BytesMut, text: &[u8]) {
    let mut from = 0;
    for (at, &byte) in text.iter().enumerate() {
        if EXTRA[byte as usize] == 0 {
            continue;
        }
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        let short = match byte {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0C => b'f',
            b'"' | b'\\' => byte,
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(&text[from..]);
}

/// Appends `text` as a JSON string, quotes included.
pub fn string(out: &mut BytesMut, text: &str) {
    out.extend_from_slice(b"\"");
    escape(out, text.as_bytes());
    out.extend_from_slice(b"\"");
}

/// Appends `n` in decimal digits.
pub fn number(out: &mut BytesMut, mut n: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `raw` in padded base64. When a value is written in several calls, each piece but the last
/// must have a multiple of three bytes.
pub fn base64(out: &mut BytesMut, raw: &[u8]) {
    let start = out.len();
    out.resize(start + raw.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(raw, &mut out[start..]);
    debug_assert_eq!(written, Ok(out.len() - start));
}

/// Appends the fields of a response as the members `headers` (lower-case names and their values,
/// repeated fields joined with `, `) and, if there are any, `setCookie` (an array). No comma is written
/// at either end.
pub fn fields(out: &mut BytesMut, headers: &HeaderMap) {
    out.extend_from_slice(b"\"headers\":{");
    let mut previous = None;
    // `iter` gives the values of one name next to each other.
    for (name, value) in headers {
        let text = field_text(value.as_bytes());
        if previous == Some(name) {
            out.extend_from_slice(b", ");
        } else {
            out.extend_from_slice(if previous.is_some() { b"\"," } else { b"" });
            string(out, name.as_str());
            out.extend_from_slice(b":\"");
        }
        escape(out, text.as_bytes());
        previous = Some(name);
    }
    out.extend_from_slice(if previous.is_some() { b"\"}" } else { b"}" });
    if headers.contains_key(header::SET_COOKIE) {
        out.extend_from_slice(b",\"setCookie\":[");
        for (i, value) in headers.get_all(header::SET_COOKIE).iter().enumerate() {
            out.extend_from_slice(if i > 0 { b"," } else { b"" });
            string(out, &field_text(value.as_bytes()));
        }
        out.extend_from_slice(b"]");
    }
}

/// Returns a field value as text: UTF-8 if it is valid, otherwise one character for each byte, as the
/// "isomorphic decode" of the Fetch standard does.
fn field_text(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(value.iter().map(|b| char::from(*b)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn escaping_reads_back_and_its_length_is_foretold(text: String, cut in 0usize..40) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            let mut out = BytesMut::from(&b"\""[..]);
            escape(&mut out, &bytes[..cut]);
            escape(&mut out, &bytes[cut..]);
            prop_assert_eq!(out.len() - 1, escaped_len(bytes));
            out.extend_from_slice(b"\"");
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn every_control_character_reads_back() {
        let text: String = (0u8..0x80).map(char::from).collect();
        let mut out = BytesMut::new();
        string(&mut out, &text);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }
}
