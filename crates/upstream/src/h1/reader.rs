//! The reader of one response, which accepts its input in slices of any length.

use std::fmt;
use std::mem;

use bytes::Bytes;
use fetchway_policy::ErrorName;
use http::{HeaderValue, StatusCode};

use super::chunked::Chunked;
use super::head::{self, Framing, Head};
use crate::{Failure, Limits, Response};

/// Maximum number of bytes reserved before they arrive, for any announced length.
const MAX_RESERVED: u64 = 64 << 10;

/// Reads one response; the next response needs a new reader. Memory is used only for a response that
/// arrives in pieces.
#[derive(Default)]
pub struct ResponseReader {
    stage: Stage,
    begun: bool,
    reusable: bool,
}

#[derive(Default)]
enum Stage {
    /// No byte of the head has arrived.
    #[default]
    Start,
    /// A part of the head: not empty, within the limit, and without its end.
    Head(Vec<u8>),
    Body(Box<Body>),
    /// The response is complete, or has failed.
    Done,
}

/// A response whose body is incomplete.
struct Body {
    status: StatusCode,
    fields: Vec<(&'static str, HeaderValue)>,
    framing: Remaining,
    bytes: Vec<u8>,
}

enum Remaining {
    /// The number of missing bytes.
    Length(u64),
    Chunked(Chunked),
    Close,
}

impl fmt::Debug for ResponseReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Start => "at its start",
            Stage::Head(_) => "in its head",
            Stage::Body(_) => "in its body",
            Stage::Done => "done",
        };
        write!(f, "ResponseReader({stage})")
    }
}

impl ResponseReader {
    /// Creates a reader for the response to a request that is about to be sent.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            stage: Stage::Start,
            begun: false,
            reusable: false,
        }
    }

    /// Reads `bytes`. Returns `None` if more bytes are needed. Informational responses are dropped.
    ///
    /// # Errors
    /// The response is not valid HTTP/1.1, or exceeds `limits`. The connection cannot be used again.
    pub fn take(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Response>, Failure> {
        self.begun |= !bytes.is_empty();
        let taken = match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Start => self.head(bytes, limits),
            Stage::Head(piece) => self.rest_of_head(piece, bytes, limits),
            Stage::Body(body) => self.rest_of_body(body, bytes, limits),
            Stage::Done => Err(Failure::protocol(
                "The origin sent bytes that belong to no response.",
            )),
        };
        self.reusable &= taken.is_ok();
        taken
    }

    /// Records that the server has closed the connection, which ends a body of unknown length.
    ///
    /// # Errors
    /// Any other response is incomplete.
    pub fn end(&mut self) -> Result<Response, Failure> {
        self.reusable = false;
        match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Body(body) if matches!(body.framing, Remaining::Close) => Ok(body.answer()),
            Stage::Body(_) => Err(Failure::new(
                ErrorName::HttpResponseIncomplete,
                "The origin closed the connection within the body of its response.",
            )),
            Stage::Start | Stage::Head(_) | Stage::Done => Err(Failure::new(
                ErrorName::ConnectionTerminated,
                "The origin closed the connection before its response was complete.",
            )),
        }
    }

    /// Returns true if any byte of the response has arrived, informational responses included.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Returns the number of body bytes that are kept until the body is complete.
    #[must_use]
    pub fn held(&self) -> usize {
        match &self.stage {
            Stage::Body(body) => body.bytes.len(),
            Stage::Start | Stage::Head(_) | Stage::Done => 0,
        }
    }

    /// Returns true if another request may follow on the connection: the response is complete, the
    /// server has not announced a close, and no bytes followed the response.
    #[must_use]
    pub fn may_stay(&self) -> bool {
        self.reusable && matches!(self.stage, Stage::Done)
    }

    /// Reads from the start of a head.
    fn head(&mut self, mut bytes: &[u8], limits: &Limits) -> Result<Option<Response>, Failure> {
        while !bytes.is_empty() {
            let may_be_head = &bytes[..bytes.len().min(limits.head)];
            let Some((head, length)) = head::parse(may_be_head, limits)? else {
                if bytes.len() >= limits.head {
                    return Err(Failure::head_size(limits));
                }
                self.stage = Stage::Head(bytes.to_vec());
                return Ok(None);
            };
            bytes = &bytes[length..];
            if !is_informational(head.status)? {
                return self.body(head, bytes, limits);
            }
        }
        self.stage = Stage::Start;
        Ok(None)
    }

    /// Continues an incomplete head. The head is parsed only once it is complete, so a head in many
    /// pieces costs no more than one in two.
    fn rest_of_head(
        &mut self,
        mut piece: Vec<u8>,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<Response>, Failure> {
        let known = piece.len();
        let room = limits.head.saturating_sub(known);
        piece.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let Some(end) = head::end(&piece, known) else {
            if piece.len() >= limits.head {
                return Err(Failure::head_size(limits));
            }
            self.stage = Stage::Head(piece);
            return Ok(None);
        };
        let parsed = head::parse(&piece[..end], limits)?;
        let (head, _) = parsed.ok_or_else(|| head::malformed(&"an empty line within its head"))?;
        let bytes = &bytes[end - known..];
        match is_informational(head.status)? {
            true => self.head(bytes, limits),
            false => self.body(head, bytes, limits),
        }
    }

    /// Reads from the start of a body. Most bodies are already complete, and are copied once.
    fn body(
        &mut self,
        head: Head,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<Response>, Failure> {
        self.reusable = head.reusable;
        let mut reserve = 0;
        let framing = match head.framing {
            Framing::Length(length) if length > limits.body as u64 => {
                return Err(Failure::body_size(limits));
            }
            Framing::Length(length) => {
                // The limit fits in a `usize`, so the length does.
                let length_here = length as usize;
                if bytes.len() >= length_here {
                    self.reusable &= bytes.len() == length_here;
                    return Ok(Some(Response {
                        status: head.status,
                        fields: head.fields,
                        body: Bytes::copy_from_slice(&bytes[..length_here]),
                    }));
                }
                reserve = length.min(MAX_RESERVED) as usize;
                Remaining::Length(length)
            }
            Framing::Chunked => Remaining::Chunked(Chunked::new()),
            Framing::Close => Remaining::Close,
        };
        let body = Box::new(Body {
            status: head.status,
            fields: head.fields,
            framing,
            bytes: Vec::with_capacity(reserve),
        });
        self.rest_of_body(body, bytes, limits)
    }

    fn rest_of_body(
        &mut self,
        mut body: Box<Body>,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<Response>, Failure> {
        let used = body.take(bytes, limits)?;
        let Some(used) = used else {
            self.stage = Stage::Body(body);
            return Ok(None);
        };
        self.reusable &= used == bytes.len();
        Ok(Some(body.answer()))
    }
}

impl Body {
    /// Appends the data in `bytes`. Once the body is complete, returns the number of `bytes` that
    /// belong to it.
    fn take(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Failure> {
        match &mut self.framing {
            Remaining::Length(left) => {
                let here = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.bytes.extend_from_slice(&bytes[..here]);
                *left -= here as u64;
                Ok((*left == 0).then_some(here))
            }
            Remaining::Chunked(chunked) => chunked.take(bytes, &mut self.bytes, limits),
            Remaining::Close if bytes.len() > limits.body - self.bytes.len() => {
                Err(Failure::body_size(limits))
            }
            Remaining::Close => {
                self.bytes.extend_from_slice(bytes);
                Ok(None)
            }
        }
    }

    fn answer(self) -> Response {
        Response {
            status: self.status,
            fields: self.fields,
            body: Bytes::from(self.bytes),
        }
    }
}

/// Returns true for a status that precedes the actual response. 101 is an error, as no other protocol
/// was requested.
fn is_informational(status: StatusCode) -> Result<bool, Failure> {
    match status {
        StatusCode::SWITCHING_PROTOCOLS => Err(Failure::protocol(
            "The origin switched protocols without being asked.",
        )),
        status => Ok(status.is_informational()),
    }
}
