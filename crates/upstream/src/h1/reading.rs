//! One response, in whatever slices it comes.

use std::fmt;
use std::mem;

use bytes::Bytes;
use fetchway_policy::ErrorName;
use http::{HeaderValue, StatusCode};

use super::chunked::Chunked;
use super::head::{self, Framing, Head};
use crate::{Answer, Failure, Limits};

/// Bytes reserved at most before they have come, whatever length is announced.
const MAX_RESERVED: u64 = 64 << 10;

/// One response being read; for the next one there is a new one. It owns no buffer but for what came in
/// pieces.
#[derive(Default)]
pub struct Reading {
    stage: Stage,
    begun: bool,
    stays: bool,
}

#[derive(Default)]
enum Stage {
    /// Nothing of a head.
    #[default]
    Start,
    /// A piece of one: not empty, not over the limit, without its end.
    Head(Vec<u8>),
    Body(Box<Body>),
    /// Answered or failed.
    Done,
}

/// A response whose body is not whole.
struct Body {
    status: StatusCode,
    fields: Vec<(&'static str, HeaderValue)>,
    framing: Left,
    bytes: Vec<u8>,
}

enum Left {
    /// So many bytes are missing.
    Length(u64),
    Chunked(Chunked),
    Close,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Start => "at its start",
            Stage::Head(_) => "in its head",
            Stage::Body(_) => "in its body",
            Stage::Done => "done",
        };
        write!(f, "Reading({stage})")
    }
}

impl Reading {
    /// For the response to a request that is about to be sent.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            stage: Stage::Start,
            begun: false,
            stays: false,
        }
    }

    /// Takes the bytes of a read. `None`: more must come. Informational responses are let go.
    ///
    /// # Errors
    /// The response is not HTTP/1.1, or over `limits`. The connection is of no more use.
    pub fn take(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Answer>, Failure> {
        self.begun |= !bytes.is_empty();
        let taken = match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Start => self.head(bytes, limits),
            Stage::Head(piece) => self.rest_of_head(piece, bytes, limits),
            Stage::Body(body) => self.rest_of_body(body, bytes, limits),
            Stage::Done => Err(Failure::protocol(
                "The origin sent bytes that belong to no response.",
            )),
        };
        self.stays &= taken.is_ok();
        taken
    }

    /// The server has closed the connection. That ends a body whose length was not said.
    ///
    /// # Errors
    /// It ends too early, for all else.
    pub fn end(&mut self) -> Result<Answer, Failure> {
        self.stays = false;
        match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Body(body) if matches!(body.framing, Left::Close) => Ok(body.answer()),
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

    /// Whether any byte of the response has come, informational ones included.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Bytes of a response's body that are kept until the rest of it has come.
    #[must_use]
    pub fn held(&self) -> usize {
        match &self.stage {
            Stage::Body(body) => body.bytes.len(),
            Stage::Start | Stage::Head(_) | Stage::Done => 0,
        }
    }

    /// Whether another request may follow on the connection: the response is whole, the server has not
    /// said that it will close, and nothing came behind it.
    #[must_use]
    pub fn may_stay(&self) -> bool {
        self.stays && matches!(self.stage, Stage::Done)
    }

    /// From the start of a head.
    fn head(&mut self, mut bytes: &[u8], limits: &Limits) -> Result<Option<Answer>, Failure> {
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

    /// It is parsed once it is whole, so that a head in many pieces costs no more than one in two.
    fn rest_of_head(
        &mut self,
        mut piece: Vec<u8>,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<Answer>, Failure> {
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

    /// From the start of a body. Mostly it is there as a whole, and copied once.
    fn body(
        &mut self,
        head: Head,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<Answer>, Failure> {
        self.stays = head.stays;
        let mut reserve = 0;
        let framing = match head.framing {
            Framing::Length(length) if length > limits.body as u64 => {
                return Err(Failure::body_size(limits));
            }
            Framing::Length(length) => {
                // Within a limit that fits.
                let length_here = length as usize;
                if bytes.len() >= length_here {
                    self.stays &= bytes.len() == length_here;
                    return Ok(Some(Answer {
                        status: head.status,
                        fields: head.fields,
                        body: Bytes::copy_from_slice(&bytes[..length_here]),
                    }));
                }
                reserve = length.min(MAX_RESERVED) as usize;
                Left::Length(length)
            }
            Framing::Chunked => Left::Chunked(Chunked::new()),
            Framing::Close => Left::Close,
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
    ) -> Result<Option<Answer>, Failure> {
        let used = body.take(bytes, limits)?;
        let Some(used) = used else {
            self.stage = Stage::Body(body);
            return Ok(None);
        };
        self.stays &= used == bytes.len();
        Ok(Some(body.answer()))
    }
}

impl Body {
    /// Once the body is whole: how many of `bytes` belong to it.
    fn take(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Failure> {
        match &mut self.framing {
            Left::Length(left) => {
                let here = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.bytes.extend_from_slice(&bytes[..here]);
                *left -= here as u64;
                Ok((*left == 0).then_some(here))
            }
            Left::Chunked(chunked) => chunked.take(bytes, &mut self.bytes, limits),
            Left::Close if bytes.len() > limits.body - self.bytes.len() => {
                Err(Failure::body_size(limits))
            }
            Left::Close => {
                self.bytes.extend_from_slice(bytes);
                Ok(None)
            }
        }
    }

    fn answer(self) -> Answer {
        Answer {
            status: self.status,
            fields: self.fields,
            body: Bytes::from(self.bytes),
        }
    }
}

/// Whether it comes before the response proper. 101 never does: nobody asked for another protocol.
fn is_informational(status: StatusCode) -> Result<bool, Failure> {
    match status {
        StatusCode::SWITCHING_PROTOCOLS => Err(Failure::protocol(
            "The origin switched protocols, which it was not asked to do.",
        )),
        status => Ok(status.is_informational()),
    }
}
