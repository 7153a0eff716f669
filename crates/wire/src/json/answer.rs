//! What a client is told: one JSON object an answer, written in pieces straight into the socket's
//! batch. The body is held once, raw; what it becomes in JSON exists only as it is written.

use bytes::{Buf, Bytes, BytesMut};
use fetchway_policy::FetchError;
use http::{HeaderMap, StatusCode};

use super::Id;
use super::text::{base64, escape, escaped_len, fields, number, string};

/// When a fetch began and ended, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// When the relay took the request.
    pub start: u64,
    /// When the outcome was known.
    pub end: u64,
}

/// What became of a fetch.
#[derive(Debug)]
pub enum Outcome {
    /// The origin's response; its status may still be an error's.
    Response {
        /// The response's status.
        status: StatusCode,
        /// Its fields, without hop-by-hop ones.
        headers: HeaderMap,
        /// The final URL, after redirects.
        url: Box<str>,
        /// The whole body.
        body: Bytes,
    },
    /// There was none.
    Failed(FetchError),
}

/// One answer, to be encoded when its turn comes.
#[derive(Debug)]
pub struct Answer {
    /// The request's id.
    pub id: Id,
    /// What became of it.
    pub outcome: Outcome,
    /// When.
    pub timing: Option<Timing>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyForm {
    Text,
    Base64,
}

/// An answer on its way out: JSON in pieces of the caller's size, the length known in advance.
pub struct Encoder {
    before: BytesMut,
    body: Bytes,
    form: BodyForm,
    after: &'static [u8],
    len: usize,
}

impl Answer {
    /// Lays the answer out. The body is scanned once, not copied.
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
    /// An object that ends with a body: `before` is all that comes before it, `names` how a body that
    /// is UTF-8 begins and one that is not, up to its quote, and `after` begins with the other quote.
    /// The body is scanned once, not copied.
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

    /// Something without a body, written already.
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

    /// Bytes that it keeps in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.before.len() + self.body.len()
    }

    /// Bytes still to be written.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "it is what is left, not a container"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends the next piece, of about `room` bytes (at most six times that, where everything is
    /// escaped). Returns whether more follows.
    pub fn write(&mut self, out: &mut BytesMut, room: usize) -> bool {
        let start = out.len();
        if !self.before.is_empty() {
            out.extend_from_slice(&self.before);
            self.before = BytesMut::new();
        }
        // Base64 goes by groups of three bytes; only the last piece may be padded.
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
