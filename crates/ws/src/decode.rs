//! The decoder of one direction of a WebSocket: bytes in, events out, no I/O.
//!
//! ```text
//!            header complete            payload complete
//!   Header ──────────────────▶ Payload ──────────────────▶ Header
//!      ▲        over the message limit      │
//!      └──────────── Skip ◀─────────────────┘ (the rest of the message is counted, not kept)
//! ```

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::frame::{CloseCode, Header, Opcode, mask};

/// The side of the connection that we are. A server's peer must mask its frames, a client's peer must
/// not (RFC 6455 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We accepted the connection.
    Server,
    /// We opened it.
    Client,
}

/// A complete message.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// True for text (`data` is then UTF-8), false for binary.
    pub text: bool,
    /// The payload, unmasked.
    pub data: BytesMut,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} bytes)", self.data.len())
    }
}

/// An event in the received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A complete message.
    Message(Message),
    /// A message over the limit was skipped; its length in bytes. An [early](Decoder::early) decoder
    /// reports it before the message has arrived.
    TooLong(u64),
    /// A ping, to be answered with a pong of the same payload.
    Ping(Bytes),
    /// The answer to our ping, or an unrequested pong.
    Pong(Bytes),
    /// The peer will send nothing more: its code (1005 if it gave none) and reason.
    Close(u16, String),
}

/// The peer violated RFC 6455. The connection must be closed with `code`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer broke the WebSocket protocol: {reason}")]
pub struct ProtocolError {
    /// Close code to send.
    pub code: CloseCode,
    /// Description of the fault.
    pub reason: &'static str,
}

fn broken(reason: &'static str) -> ProtocolError {
    ProtocolError {
        code: CloseCode::Protocol,
        reason,
    }
}

pub(crate) fn not_utf8() -> ProtocolError {
    ProtocolError {
        code: CloseCode::InvalidPayload,
        reason: "a text message is not UTF-8",
    }
}

/// The frame whose payload is being read.
#[derive(Debug)]
struct Open {
    header: Header,
    taken: u64,
}

/// The current message, across its fragments.
#[derive(Debug)]
struct Partial {
    text: bool,
    len: u64,
    data: BytesMut,
    /// Number of bytes that are known to be UTF-8. At most the beginning of one character follows them.
    checked: usize,
}

impl Partial {
    /// Checks the text so far, so that invalid UTF-8 is found with the first byte that makes it
    /// invalid.
    fn check(&mut self) -> Result<(), ProtocolError> {
        if !self.text {
            return Ok(());
        }
        match std::str::from_utf8(&self.data[self.checked..]) {
            Ok(_) => self.checked = self.data.len(),
            Err(cut) if cut.error_len().is_none() => self.checked += cut.valid_up_to(),
            Err(_) => return Err(not_utf8()),
        }
        Ok(())
    }
}

/// The decoder's state. A decoder holds at most one message of `limit` bytes and one frame header.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    limit: usize,
    frame: Option<Open>,
    control: BytesMut,
    message: Option<Partial>,
    closed: bool,
    early: bool,
}

impl Decoder {
    /// Creates a decoder. A message of more than `limit` bytes is skipped and then reported as
    /// [`Event::TooLong`].
    #[must_use]
    pub fn new(role: Role, limit: usize) -> Self {
        Self {
            role,
            limit,
            frame: None,
            control: BytesMut::new(),
            message: None,
            closed: false,
            early: false,
        }
    }

    /// Creates a decoder that reports [`Event::TooLong`] as soon as a frame's header exceeds the limit,
    /// with the length announced so far. The remainder of the message is skipped without another event.
    #[must_use]
    pub fn early(role: Role, limit: usize) -> Self {
        Self {
            early: true,
            ..Self::new(role, limit)
        }
    }

    /// Returns the number of bytes kept of the current message.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.message.as_ref().map_or(0, |m| m.data.len())
    }

    /// Returns true if no message or frame is incomplete, so that a new decoder could continue in place
    /// of this one.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.frame.is_none() && self.message.is_none() && !self.closed
    }

    /// Decodes the next event from the front of `input`. `None` means that more bytes are needed.
    /// Everything after a Close frame is ignored.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Event>, ProtocolError> {
        loop {
            if self.closed {
                input.clear();
                return Ok(None);
            }
            if self.frame.is_none() {
                let Some((header, len)) = Header::parse(input).map_err(broken)? else {
                    return Ok(None);
                };
                self.check(&header)?;
                let _ = input.split_to(len);
                let passed = self.begin(header);
                if let Some(len) = passed.filter(|_| self.early) {
                    return Ok(Some(Event::TooLong(len)));
                }
            }
            let Some(open) = &mut self.frame else {
                continue;
            };
            let missing = open.header.len - open.taken;
            if missing > 0 && input.is_empty() {
                return Ok(None);
            }
            let mut piece = input.split_to(missing.min(input.len() as u64) as usize);
            if let Some(key) = open.header.mask {
                mask(&mut piece, key, (open.taken & 3) as usize);
            }
            open.taken += piece.len() as u64;
            let (header, done) = (open.header, open.taken == open.header.len);
            self.keep(header.opcode, piece)?;
            if !done {
                continue;
            }
            self.frame = None;
            if let Some(event) = self.end_of_frame(header)? {
                return Ok(Some(event));
            }
        }
    }

    fn check(&self, header: &Header) -> Result<(), ProtocolError> {
        match (self.role, header.mask) {
            (Role::Server, None) => return Err(broken("a client's frame is not masked")),
            (Role::Client, Some(_)) => return Err(broken("a server's frame is masked")),
            _ => {}
        }
        match (header.opcode, &self.message) {
            (Opcode::Continuation, None) => Err(broken("a continuation of nothing")),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                Err(broken("a new message before the last one's end"))
            }
            _ => Ok(()),
        }
    }

    /// Starts a frame. Returns the length of the message if this frame makes it exceed the limit.
    fn begin(&mut self, header: Header) -> Option<u64> {
        let mut passed = None;
        if !header.opcode.is_control() {
            let limit = self.limit as u64;
            let message = self.message.get_or_insert_with(|| Partial {
                text: header.opcode == Opcode::Text,
                len: 0,
                data: BytesMut::new(),
                checked: 0,
            });
            let before = message.len;
            message.len = before.saturating_add(header.len);
            if message.len > limit {
                // The message is over the limit: its bytes are released at once, and only its length is
                // counted.
                message.data = BytesMut::new();
                passed = (before <= limit).then_some(message.len);
            }
        }
        self.frame = Some(Open { header, taken: 0 });
        passed
    }

    fn keep(&mut self, opcode: Opcode, piece: BytesMut) -> Result<(), ProtocolError> {
        if opcode.is_control() {
            append(&mut self.control, piece);
        } else if let Some(message) = &mut self.message
            && message.len <= self.limit as u64
        {
            append(&mut message.data, piece);
            message.check()?;
        }
        Ok(())
    }

    fn end_of_frame(&mut self, header: Header) -> Result<Option<Event>, ProtocolError> {
        match header.opcode {
            Opcode::Ping => Ok(Some(Event::Ping(self.control.split().freeze()))),
            Opcode::Pong => Ok(Some(Event::Pong(self.control.split().freeze()))),
            Opcode::Close => {
                self.closed = true;
                let payload = self.control.split();
                parse_close(&payload).map(Some)
            }
            _ if !header.fin => Ok(None),
            _ => {
                let Some(message) = self.message.take() else {
                    return Ok(None);
                };
                if message.len > self.limit as u64 {
                    return Ok((!self.early).then_some(Event::TooLong(message.len)));
                }
                if message.text && message.checked < message.data.len() {
                    // The text ends within a character.
                    return Err(not_utf8());
                }
                Ok(Some(Event::Message(Message {
                    text: message.text,
                    data: message.data,
                })))
            }
        }
    }
}

/// Appends a piece. The first piece is kept without a copy, as most messages have only one.
fn append(to: &mut BytesMut, piece: BytesMut) {
    if to.is_empty() {
        *to = piece;
    } else {
        to.extend_from_slice(&piece);
    }
}

fn parse_close(payload: &[u8]) -> Result<Event, ProtocolError> {
    let (code, reason) = match *payload {
        [] => return Ok(Event::Close(1005, String::new())),
        [_] => return Err(broken("a close code of one byte")),
        [high, low, ref reason @ ..] => (u16::from_be_bytes([high, low]), reason),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(broken("a close code that may not be sent"));
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok(Event::Close(code, reason.to_owned())),
        Err(_) => Err(ProtocolError {
            code: CloseCode::InvalidPayload,
            reason: "a close reason is not UTF-8",
        }),
    }
}

#[cfg(test)]
mod tests;
