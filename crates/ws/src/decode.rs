//! Bytes in, events out: the pure reader of one direction of a WebSocket.
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

/// Which side we are: a server's peer must mask, a client's must not (RFC 6455 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We accepted the connection.
    Server,
    /// We opened it.
    Client,
}

/// One whole message.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Text (then `data` is UTF-8) or binary.
    pub text: bool,
    /// The payload, unmasked.
    pub data: BytesMut,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} bytes)", self.data.len())
    }
}

/// What has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message.
    Message(Message),
    /// A message over the limit has gone by and was not kept; its length in bytes. A
    /// [`Decoder::wary`] one tells it earlier.
    TooLong(u64),
    /// To be answered with a pong of the same payload.
    Ping(Bytes),
    /// The answer to a ping of ours, or unasked.
    Pong(Bytes),
    /// The peer will send no more: its code (1005 when it gave none) and reason.
    Close(u16, String),
}

/// The peer broke RFC 6455: the connection must be closed with `code`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    /// What to close with.
    pub code: CloseCode,
    /// What was wrong.
    pub reason: &'static str,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer broke the WebSocket protocol: {}", self.reason)
    }
}

impl std::error::Error for ProtocolError {}

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

/// The message under way, across its fragments.
#[derive(Debug)]
struct Partial {
    text: bool,
    len: u64,
    data: BytesMut,
    /// Bytes of text known to be UTF-8; behind them stands at most a character's beginning.
    checked: usize,
}

impl Partial {
    /// Looks at what has come of a text, so that a breach is found with the byte that makes it one.
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

/// The reader's state. It holds at most one message of `limit` bytes and one frame header.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    limit: usize,
    frame: Option<Open>,
    control: BytesMut,
    message: Option<Partial>,
    closed: bool,
    wary: bool,
}

impl Decoder {
    /// Messages of more than `limit` bytes are skipped and reported as [`Event::TooLong`].
    #[must_use]
    pub fn new(role: Role, limit: usize) -> Self {
        Self {
            role,
            limit,
            frame: None,
            control: BytesMut::new(),
            message: None,
            closed: false,
            wary: false,
        }
    }

    /// The same, but [`Event::TooLong`] comes with the frame's header that passes the limit, and with
    /// the length announced by then. The rest of the message goes by unmentioned.
    #[must_use]
    pub fn wary(role: Role, limit: usize) -> Self {
        Self {
            wary: true,
            ..Self::new(role, limit)
        }
    }

    /// Bytes that the message under way still holds.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.message.as_ref().map_or(0, |m| m.data.len())
    }

    /// Whether nothing is under way: a new one could go on in its place.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.frame.is_none() && self.message.is_none() && !self.closed
    }

    /// Takes what it can from the front of `input`. `None` means that more bytes are needed; what
    /// follows a Close frame is ignored.
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
                if let Some(len) = passed.filter(|_| self.wary) {
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

    /// Gives the length of a message that passes the limit by this frame.
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
                // Over the limit: give the bytes back at once, count on.
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
                    return Ok((!self.wary).then_some(Event::TooLong(message.len)));
                }
                if message.text && message.checked < message.data.len() {
                    // It ends within a character.
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

/// The first piece of a message is kept as it is: most messages come in one.
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::put_frame;

    const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);

    fn drain(
        decoder: &mut Decoder,
        bytes: &[u8],
        step: usize,
    ) -> Result<Vec<Event>, ProtocolError> {
        let mut buffer = BytesMut::new();
        let mut events = Vec::new();
        for slice in bytes.chunks(step.max(1)) {
            buffer.extend_from_slice(slice);
            while let Some(event) = decoder.decode(&mut buffer)? {
                events.push(event);
            }
        }
        Ok(events)
    }

    fn message(text: bool, data: &[u8]) -> Event {
        Event::Message(Message {
            text,
            data: data.into(),
        })
    }

    #[test]
    fn a_control_frame_may_stand_between_fragments() {
        let mut bytes = BytesMut::new();
        let first = Header {
            fin: false,
            opcode: Opcode::Text,
            len: 2,
            mask: None,
        };
        first.put(&mut bytes);
        bytes.extend_from_slice(b"ab");
        put_frame(&mut bytes, Opcode::Ping, b"p", None);
        put_frame(&mut bytes, Opcode::Continuation, b"c", None);
        let events = drain(&mut Decoder::new(Role::Client, 10), &bytes, 1).unwrap();
        assert_eq!(
            events,
            [Event::Ping(Bytes::from_static(b"p")), message(true, b"abc")]
        );
    }

    #[test]
    fn a_message_over_the_limit_is_skipped_and_the_next_one_read() {
        for step in [1, 7, 1000] {
            let mut bytes = BytesMut::new();
            put_frame(&mut bytes, Opcode::Binary, &[9; 300], KEY);
            put_frame(&mut bytes, Opcode::Text, b"next", KEY);
            let mut decoder = Decoder::new(Role::Server, 299);
            let events = drain(&mut decoder, &bytes, step).unwrap();
            assert_eq!(events, [Event::TooLong(300), message(true, b"next")]);
        }
    }

    #[test]
    fn a_wary_one_tells_it_with_the_header_and_skips_the_rest() {
        let mut bytes = BytesMut::new();
        let piece = |fin, opcode, len| Header {
            fin,
            opcode,
            len,
            mask: KEY,
        };
        piece(false, Opcode::Binary, 200).put(&mut bytes);
        bytes.extend_from_slice(&[0; 200]);
        piece(false, Opcode::Continuation, 100).put(&mut bytes);
        let mut decoder = Decoder::wary(Role::Server, 299);
        let told = decoder.decode(&mut bytes);
        assert_eq!(
            told,
            Ok(Some(Event::TooLong(300))),
            "nothing of it is there yet"
        );
        assert_eq!(decoder.buffered(), 0);
        bytes.extend_from_slice(&[0; 100]);
        put_frame(&mut bytes, Opcode::Ping, b"", KEY);
        put_frame(&mut bytes, Opcode::Continuation, &[0; 9], KEY);
        put_frame(&mut bytes, Opcode::Text, b"next", KEY);
        let events = drain(&mut decoder, &bytes, 1000);
        assert_eq!(
            events,
            Ok(vec![Event::Ping(Bytes::new()), message(true, b"next")])
        );
    }

    #[test]
    fn breaches_are_named_with_their_close_code() {
        let unmasked = b"\x81\x01a".as_slice();
        let cases: [(&[u8], CloseCode); 7] = [
            (unmasked, CloseCode::Protocol),
            (b"\x80\x81\0\0\0\0a", CloseCode::Protocol),
            (b"\xC1\x81\0\0\0\0a", CloseCode::Protocol),
            (b"\x83\x81\0\0\0\0a", CloseCode::Protocol),
            (b"\x09\x80\0\0\0\0", CloseCode::Protocol),
            (b"\x81\x81\0\0\0\0\xFF", CloseCode::InvalidPayload),
            (b"\x88\x82\0\0\0\0\x03\xEE", CloseCode::Protocol),
        ];
        for (bytes, code) in cases {
            let error = drain(&mut Decoder::new(Role::Server, 100), bytes, 100).unwrap_err();
            assert_eq!(error.code, code, "{bytes:?}: {error}");
        }
    }

    #[test]
    fn a_text_is_refused_with_the_byte_that_is_no_utf8() {
        let mut bytes = BytesMut::new();
        Header {
            fin: false,
            opcode: Opcode::Text,
            len: 100,
            mask: None,
        }
        .put(&mut bytes);
        let mut decoder = Decoder::new(Role::Client, 1000);
        // The first two bytes of a character, which could be one, then a third that cannot follow.
        for good in [b"\xce\xba".as_slice(), b"\xf4", b"\x8f"] {
            bytes.extend_from_slice(good);
            assert_eq!(decoder.decode(&mut bytes), Ok(None));
        }
        bytes.extend_from_slice(b"a");
        let error = decoder.decode(&mut bytes).unwrap_err();
        assert_eq!(error.code, CloseCode::InvalidPayload);
    }

    proptest! {
        #[test]
        fn any_slicing_gives_the_same_events(
            messages in proptest::collection::vec((any::<bool>(), proptest::collection::vec(0u8..128, 0..400)), 0..8),
            step in 1usize..50,
        ) {
            let mut bytes = BytesMut::new();
            for (text, data) in &messages {
                let opcode = if *text { Opcode::Text } else { Opcode::Binary };
                put_frame(&mut bytes, opcode, data, KEY);
            }
            let events = drain(&mut Decoder::new(Role::Server, 1000), &bytes, step).unwrap();
            let expected: Vec<Event> = messages.iter().map(|(t, d)| message(*t, d)).collect();
            prop_assert_eq!(events, expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic_nor_pass_the_limit(bytes: Vec<u8>, step in 1usize..20) {
            let mut decoder = Decoder::new(Role::Server, 64);
            if let Ok(events) = drain(&mut decoder, &bytes, step) {
                for event in events {
                    if let Event::Message(m) = event { prop_assert!(m.data.len() <= 64); }
                }
            }
            prop_assert!(decoder.buffered() <= 64);
        }
    }
}
