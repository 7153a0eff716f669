//! A reader without I/O for many sockets that share one read buffer: frames are parsed in that buffer.
//!
//! Nearly all messages are one frame that arrives complete in one read. Such a frame is unmasked and
//! returned in place. Only a message in pieces gets a [`Decoder`] and a buffer, until it is complete,
//! so a socket between messages owns neither.

use std::fmt;

use bytes::BytesMut;

use crate::decode::{Decoder, Event, ProtocolError, Role, not_utf8};
use crate::frame::{Header, Opcode, mask};

/// Bytes of a client that have been read and not yet returned as messages. The value is moved with
/// every read, so it is only a pointer.
#[derive(Default)]
pub struct ReadState(Option<Box<Pieces>>);

/// The state of an incomplete message.
#[derive(Default)]
struct Pieces {
    decoder: Option<Decoder>,
    /// Bytes that follow those already in the decoder.
    unread: BytesMut,
}

impl fmt::Debug for ReadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unread = self.0.as_ref().map_or(0, |pieces| pieces.unread.len());
        write!(f, "ReadState({unread} bytes unread)")
    }
}

impl ReadState {
    /// Returns true if no message is incomplete, so that this value can be dropped and replaced by a
    /// new one.
    #[must_use]
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// Continues with the bytes of another read. Messages of more than `limit` bytes are not kept.
    #[inline]
    pub fn with(self, bytes: &mut [u8], limit: usize) -> FrameReader<'_> {
        FrameReader {
            reading: self,
            bytes,
            limit,
        }
    }
}

/// A message or event that was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A complete message, in place: true for text (which is UTF-8), false for binary.
    Message(bool, &'a [u8]),
    /// A message that came in pieces, or any other event.
    Event(Event),
}

/// The bytes of one read, after those that earlier reads have left.
#[derive(Debug)]
pub struct FrameReader<'a> {
    reading: ReadState,
    bytes: &'a mut [u8],
    limit: usize,
}

impl<'a> FrameReader<'a> {
    /// Returns the next message or event. `None` means that more bytes are needed. A message over the
    /// limit is reported as soon as a header announces its length, and its payload is then skipped.
    ///
    /// # Errors
    /// The client violated RFC 6455. The remaining bytes are dropped.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator of results would invite to go on after an error"
    )]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Received<'a>>, ProtocolError> {
        if self.reading.is_idle()
            && let Some((text, payload)) = self.whole()
        {
            return match text && std::str::from_utf8(payload).is_err() {
                true => self.fail(not_utf8()),
                false => Ok(Some(Received::Message(text, payload))),
            };
        }
        let rest = std::mem::take(&mut self.bytes);
        if rest.is_empty() && self.reading.is_idle() {
            return Ok(None);
        }
        let pieces = self.reading.0.get_or_insert_default();
        pieces.unread.extend_from_slice(rest);
        let limit = self.limit;
        let decoder = (pieces.decoder).get_or_insert_with(|| Decoder::early(Role::Server, limit));
        let event = match decoder.decode(&mut pieces.unread) {
            Ok(event) => event,
            Err(error) => return self.fail(error),
        };
        if decoder.is_between_messages() {
            pieces.decoder = None;
        }
        if pieces.unread.is_empty() {
            // The buffer is released as well.
            pieces.unread = BytesMut::new();
            if pieces.decoder.is_none() {
                self.reading = ReadState::default();
            }
        }
        Ok(event.map(Received::Event))
    }

    #[cold]
    fn fail(&mut self, error: ProtocolError) -> Result<Option<Received<'a>>, ProtocolError> {
        self.reading = ReadState::default();
        self.bytes = &mut [];
        Err(error)
    }

    /// Returns a complete, unfragmented message at the front, if it is within the limit. Everything
    /// else is left to a decoder, violations included.
    #[inline]
    fn whole(&mut self) -> Option<(bool, &'a [u8])> {
        let (header, at) = Header::parse(self.bytes).ok()??;
        let text = match header.opcode {
            Opcode::Text => true,
            Opcode::Binary => false,
            _ => return None,
        };
        let len = usize::try_from(header.len).ok()?;
        let key = header.mask?;
        if !header.fin || len > self.limit || self.bytes.len() - at < len {
            return None;
        }
        let (frame, rest) = std::mem::take(&mut self.bytes).split_at_mut(at + len);
        self.bytes = rest;
        let payload = &mut frame[at..];
        mask(payload, key, 0);
        Some((text, payload))
    }

    /// Ends this read, and keeps the bytes that have not been returned.
    #[must_use]
    #[inline]
    pub fn keep(mut self) -> ReadState {
        if !self.bytes.is_empty() {
            let pieces = self.reading.0.get_or_insert_default();
            pieces.unread.extend_from_slice(self.bytes);
        }
        self.reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::put_frame;

    const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);

    #[test]
    fn a_whole_message_leaves_nothing_behind() {
        let mut bytes = BytesMut::new();
        put_frame(&mut bytes, Opcode::Text, b"ab", KEY);
        put_frame(&mut bytes, Opcode::Binary, b"", KEY);
        let mut slice = ReadState::default().with(&mut bytes, 2);
        assert_eq!(slice.next(), Ok(Some(Received::Message(true, b"ab"))));
        assert_eq!(slice.next(), Ok(Some(Received::Message(false, b""))));
        assert_eq!(slice.next(), Ok(None));
        assert!(slice.keep().is_idle());
    }

    #[test]
    fn what_is_not_taken_comes_with_the_next_read() {
        let mut bytes = BytesMut::new();
        for payload in [b"a", b"b", b"c"] {
            put_frame(&mut bytes, Opcode::Text, payload, KEY);
        }
        let (first, second) = bytes.split_at_mut(16);
        let mut slice = ReadState::default().with(first, 9);
        assert_eq!(slice.next(), Ok(Some(Received::Message(true, b"a"))));
        let kept = slice.keep();
        assert!(!kept.is_idle());
        let mut slice = kept.with(second, 9);
        let mut texts = Vec::new();
        while let Ok(Some(Received::Event(Event::Message(message)))) = slice.next() {
            texts.push(message.data);
        }
        assert_eq!(texts, ["b", "c"]);
        assert!(slice.keep().is_idle());
    }

    #[test]
    fn control_frames_need_no_decoder_afterwards() {
        let mut bytes = BytesMut::new();
        put_frame(&mut bytes, Opcode::Ping, b"p", KEY);
        let mut slice = ReadState::default().with(&mut bytes, 9);
        let ping = Event::Ping(b"p"[..].into());
        assert_eq!(slice.next(), Ok(Some(Received::Event(ping))));
        assert!(slice.keep().is_idle());
    }
}
