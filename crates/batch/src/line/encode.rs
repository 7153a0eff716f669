//! Writes an outcome as a line of the output.
//!
//! The names are those of the relay's JSON answers if they mean the same. `index` comes first, for people;
//! readers must not rely on any order.

use bytes::BytesMut;
use fetchway_wire::json::Encoder;
use fetchway_wire::json::text::{base64, escape, fields, number, string};

use crate::outcome::{Outcome, Response, Timing};

/// Capacity of a line's buffer at first, without the body.
const LINE: usize = 512;

/// Body of a response in its line.
pub(crate) enum LineBody<'a> {
    /// In the line itself.
    Inside(&'a [u8]),
    /// In this file.
    File(&'a str),
}

/// Appends the line of `outcome`, line end included.
pub(crate) fn encode(out: &mut BytesMut, outcome: &Outcome, body: &LineBody<'_>) {
    put_before(out, outcome);
    if outcome.result.is_ok() {
        put_body(out, body);
    }
    out.extend_from_slice(b"}\n");
}

impl Outcome {
    /// Returns the line of this outcome, line end included, to be written piece by piece. The body is kept raw:
    /// its JSON never exists whole.
    #[must_use]
    pub fn into_line(self) -> Encoder {
        let mut before = BytesMut::with_capacity(LINE);
        put_before(&mut before, &self);
        if let Ok(response) = self.result {
            let names = [b",\"body\":", b",\"bodyBase64\":".as_slice()];
            return Encoder::new(before, response.body, names, b"\"}\n");
        }
        before.extend_from_slice(b"}\n");
        Encoder::plain(before)
    }
}

/// Appends the line without its body and its end.
fn put_before(out: &mut BytesMut, outcome: &Outcome) {
    out.extend_from_slice(b"{\"index\":");
    number(out, outcome.index);
    if outcome.depth > 0 {
        out.extend_from_slice(b",\"depth\":");
        number(out, u64::from(outcome.depth));
    }
    if let Some(id) = &outcome.id {
        out.extend_from_slice(b",\"id\":");
        // A line end between tokens is white space; strings have none.
        out.extend(id.as_json().bytes().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => byte,
        }));
    }
    out.extend_from_slice(b",\"url\":");
    string(out, &outcome.url);
    match &outcome.result {
        Ok(response) => put_response(out, response),
        Err(error) => {
            out.extend_from_slice(b",\"status\":0,\"errorCode\":");
            string(out, error.name.as_str());
            out.extend_from_slice(b",\"error\":");
            string(out, &error.detail);
        }
    }
    if let Some(next) = &outcome.next {
        out.extend_from_slice(b",\"next\":");
        string(out, next.as_str());
    }
    out.extend_from_slice(b",\"attempts\":");
    number(out, u64::from(outcome.attempts));
    put_timing(out, &outcome.timing);
    out.extend_from_slice(b",\"fingerprint\":\"");
    put_hex(out, outcome.fingerprint);
    out.extend_from_slice(b"\"");
}

fn put_response(out: &mut BytesMut, response: &Response) {
    out.extend_from_slice(b",\"finalUrl\":");
    string(out, response.url.as_str());
    out.extend_from_slice(b",\"status\":");
    out.extend_from_slice(response.status.as_str().as_bytes());
    out.extend_from_slice(b",");
    fields(out, &response.headers);
}

fn put_body(out: &mut BytesMut, body: &LineBody<'_>) {
    match body {
        LineBody::File(path) => {
            out.extend_from_slice(b",\"bodyFile\":");
            string(out, path);
        }
        LineBody::Inside(bytes) if std::str::from_utf8(bytes).is_ok() => {
            out.extend_from_slice(b",\"body\":\"");
            escape(out, bytes);
            out.extend_from_slice(b"\"");
        }
        LineBody::Inside(bytes) => {
            out.extend_from_slice(b",\"bodyBase64\":\"");
            base64(out, bytes);
            out.extend_from_slice(b"\"");
        }
    }
}

/// Appends times in milliseconds with three decimals; times that do not exist are left out.
fn put_timing(out: &mut BytesMut, timing: &Timing) {
    out.extend_from_slice(b",\"timing\":{");
    let scheduled = Some(timing.scheduled).filter(|at| *at > 0);
    let moments = [
        ("\"scheduled\":", scheduled),
        ("\"sent\":", timing.sent),
        ("\"firstByte\":", timing.first_byte),
        ("\"end\":", Some(timing.end)),
    ];
    let mut comma = b"".as_slice();
    for (name, at) in moments {
        let Some(at) = at else { continue };
        out.extend_from_slice(comma);
        out.extend_from_slice(name.as_bytes());
        number(out, at / 1000);
        let micros = at % 1000;
        let digits = [micros / 100, micros / 10 % 10, micros % 10].map(|digit| b'0' + digit as u8);
        out.extend_from_slice(b".");
        out.extend_from_slice(&digits);
        comma = b",";
    }
    out.extend_from_slice(b"}");
}

fn put_hex(out: &mut BytesMut, n: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits: [u8; 16] = std::array::from_fn(|at| HEX[(n >> (60 - 4 * at)) as usize & 15]);
    out.extend_from_slice(&digits);
}
