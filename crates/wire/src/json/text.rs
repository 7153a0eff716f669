//! JSON written by hand, for what is written once an answer: strings (RFC 8259 section 7), numbers,
//! base64, header fields. Strings go in pieces: a body is never held twice, and its escaped length is
//! known before its first byte is written.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use http::{HeaderMap, header};

/// For each byte what it costs: 0 itself, 1 a two-character escape, 5 a `\u00XX`.
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

/// The length of `text` once escaped, without quotes.
pub(super) fn escaped_len(text: &[u8]) -> usize {
    text.iter()
        .map(|b| usize::from(EXTRA[*b as usize]))
        .sum::<usize>()
        + text.len()
}

/// Appends `text` escaped, without quotes. Any slice of a UTF-8 text may be given: only ASCII is ever
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

/// Appends `n`.
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

/// Appends `raw` in base64, padded. Called again for what follows, all but the last piece must be of
/// a multiple of three bytes.
pub fn base64(out: &mut BytesMut, raw: &[u8]) {
    let start = out.len();
    out.resize(start + raw.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(raw, &mut out[start..]);
    debug_assert_eq!(written, Ok(out.len() - start));
}

/// Appends a response's fields as the members `headers` (names in lower case to values, repeated
/// ones joined with `, `) and, if there are any, `setCookie` (an array), without a comma at either
/// end.
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

/// A field value as text: UTF-8 where it is, else each byte the character of its number, as fetch's
/// "isomorphic decode" does.
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
