//! Answers to a client: one JSON object each, written piece by piece into the outgoing buffer of the
//! socket. The body is held once, as raw bytes; its JSON form exists only while it is written.

use bytes::{Buf, Bytes, BytesMut};
use fetchway_policy::FetchError;
use http::{HeaderMap, StatusCode};

use super::Id;
use super::text::{base64, escape, escaped_len, fields, number, string};

/// Start and end of a fetch, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Time at which the relay received the request.
    pub start: u64,
    /// Time at which the outcome was known.
    pub end: u64,
}

/// Outcome of a fetch.
#[derive(Debug)]
pub enum Outcome {
    /// The origin's response, whatever its status.
    Response {
        /// Status of the response.
        status: StatusCode,
        /// Header fields of the response, without hop-by-hop fields.
        headers: HeaderMap,
        /// The final URL, after redirects.
        url: Box<str>,
        /// The whole body.
        body: Bytes,
    },
    /// There was no response.
    Failed(FetchError),
}

/// One answer, encoded only when the socket is ready for it.
#[derive(Debug)]
pub struct Answer {
    /// Id of the request.
    pub id: Id,
    /// Outcome of the fetch.
    pub outcome: Outcome,
    /// Start and end of the fetch, if known.
    pub timing: Option<Timing>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyForm {
    Text,
    Base64,
}

/// Writes an answer as JSON in pieces of a size that the caller chooses. The total length is known in
/// advance.
pub struct Encoder {
    before: BytesMut,
    body: Bytes,
    form: BodyForm,
    after: &'static [u8],
    len: usize,
}

impl Answer {
    /// Returns the encoder of this answer. The body is scanned once, not copied.
    #[must_use]
    pub fn encoder(self) -> Encoder {
        let mut before = BytesMut::with_capacity(512);
        before.extend_from_slice(b"{\"id\":");
        before.extend_from_slice(self.id.as_json().as_bytes());
        match self.outcome {
            Outcome::Failed(error) => {
                put_error(&mut before, &error);
                put_timing(&mut before, self.timing);
                before.extend_from_slice(b",\"body\":\"\"}");
                Encoder::plain(before)
            }
            Outcome::Response {
                status,
                headers,
                url,
                body,
            } => {
                put_head(&mut before, status, &headers, &url);
                put_timing(&mut before, self.timing);
                let names = [b",\"body\":", b",\"body\":\"\",\"bodyBase64\":".as_slice()];
                Encoder::new(before, body, names, b"\"}")
            }
        }
    }
}

impl Encoder {
    /// Creates an encoder for a JSON object whose last members are its body.
    ///
    /// `before` is all JSON that precedes the body. `names` holds the text that introduces a UTF-8 body
    /// and the text that introduces any other body, both without the opening quote. `after` begins with
    /// the closing quote. The body is scanned once, not copied.
    #[must_use]
    pub fn new(mut before: BytesMut, body: Bytes, names: [&[u8]; 2], after: &'static [u8]) -> Self {
        let (form, name, len) = match std::str::from_utf8(&body) {
            Ok(_) => (BodyForm::Text, names[0], escaped_len(&body)),
            Err(_) => (BodyForm::Base64, names[1], body.len().div_ceil(3) * 4),
        };
        before.extend_from_slice(name);
        before.extend_from_slice(b"\"");
        Self {
            len: before.len() + len + after.len(),
            before,
            body,
            form,
            after,
        }
    }

    /// Creates an encoder for `before`, a complete JSON object without a body.
    #[must_use]
    pub fn plain(before: BytesMut) -> Self {
        Self {
            len: before.len(),
            before,
            body: Bytes::new(),
            form: BodyForm::Text,
            after: b"",
        }
    }

    /// Returns the number of bytes that the encoder keeps in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.before.len() + self.body.len()
    }

    /// Returns the number of bytes that have not been written yet.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "it is what is left, not a container"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends the next piece, which has about `room` bytes (at most six times as many, where every
    /// byte is escaped). Returns true if more pieces follow.
    pub fn write(&mut self, out: &mut BytesMut, room: usize) -> bool {
        let start = out.len();
        if !self.before.is_empty() {
            out.extend_from_slice(&self.before);
            self.before = BytesMut::new();
        }
        // Base64 encodes groups of three bytes; only the last piece may be padded.
        let take = self.body.len().min((room / 3 + 1) * 3);
        match self.form {
            BodyForm::Text => escape(out, &self.body[..take]),
            BodyForm::Base64 => base64(out, &self.body[..take]),
        }
        self.body.advance(take);
        if self.body.is_empty() {
            self.body = Bytes::new();
            out.extend_from_slice(self.after);
            self.after = b"";
        }
        self.len -= out.len() - start;
        self.len > 0
    }
}

fn put_head(out: &mut BytesMut, status: StatusCode, headers: &HeaderMap, url: &str) {
    out.extend_from_slice(b",\"status\":");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b",\"url\":");
    string(out, url);
    out.extend_from_slice(b",");
    fields(out, headers);
}

fn put_error(out: &mut BytesMut, error: &FetchError) {
    out.extend_from_slice(b",\"status\":0,\"headers\":{},\"error\":");
    string(out, &error.detail);
    out.extend_from_slice(b",\"errorCode\":");
    string(out, error.name.as_str());
}

fn put_timing(out: &mut BytesMut, timing: Option<Timing>) {
    let Some(Timing { start, end }) = timing else {
        return;
    };
    let duration = end.saturating_sub(start);
    out.extend_from_slice(b",\"timing\":{\"start\":");
    number(out, start);
    out.extend_from_slice(b",\"end\":");
    number(out, end);
    out.extend_from_slice(b",\"duration\":");
    number(out, duration);
    out.extend_from_slice(b"}");
}
