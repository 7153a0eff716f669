//! Frames taken where they were read: the pure reader for many sockets that share one read buffer.
//!
//! Nearly all messages are one frame that comes whole in one read. Such a one is unmasked and taken
//! where it lies. Only what is in pieces gets a [`Decoder`] and a buffer, for as long as it lasts, so
//! that a socket between messages owns neither.

use std::fmt;

use bytes::BytesMut;

use crate::decode::{Decoder, Event, ProtocolError, Role, not_utf8};
use crate::frame::{Header, Opcode, mask};

/// What has been read of a client and not been taken yet. It is moved with every read, and so a mere
/// pointer.
#[derive(Default)]
pub struct Reading(Option<Box<Pieces>>);

/// There only while something is under way.
#[derive(Default)]
struct Pieces {
    decoder: Option<Decoder>,
    /// Behind what the decoder has.
    unread: BytesMut,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unread = self.0.as_ref().map_or(0, |pieces| pieces.unread.len());
        write!(f, "Reading({unread} bytes unread)")
    }
}

impl Reading {
    /// Whether nothing is under way: it may be let go, and a new one take its place.
    #[must_use]
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// Goes on with the bytes of a further read. Of messages it keeps at most `limit` bytes.
    #[inline]
    pub fn with(self, bytes: &mut [u8], limit: usize) -> Slice<'_> {
        Slice {
            reading: self,
            bytes,
            limit,
        }
    }
}

/// What has been taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<'a> {
    /// A whole message, where it was read: text (then it is UTF-8) or binary.
    Message(bool, &'a [u8]),
    /// One that came in pieces, or anything else.
    Event(Event),
}

/// The bytes of one read, behind what earlier ones have left.
#[derive(Debug)]
pub struct Slice<'a> {
    reading: Reading,
    bytes: &'a mut [u8],
    limit: usize,
}

impl<'a> Slice<'a> {
    /// The next thing in it. `None`: more bytes are needed, and there are none left here. That a message
    /// is too long is told by the header that says so, and then the message goes by unmentioned.
    ///
    /// # Errors
    /// The client broke RFC 6455. What is left makes no sense any more, and is dropped.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator of results would invite to go on after an error"
    )]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Taken<'a>>, ProtocolError> {
        if self.reading.is_idle()
            && let Some((text, payload)) = self.whole()
        {
            return match text && std::str::from_utf8(payload).is_err() {
                true => self.breach(not_utf8()),
                false => Ok(Some(Taken::Message(text, payload))),
            };
        }
        let rest = std::mem::take(&mut self.bytes);
        if rest.is_empty() && self.reading.is_idle() {
            return Ok(None);
        }
        let pieces = self.reading.0.get_or_insert_default();
        pieces.unread.extend_from_slice(rest);
        let limit = self.limit;
        let decoder = (pieces.decoder).get_or_insert_with(|| Decoder::wary(Role::Server, limit));
        let event = match decoder.decode(&mut pieces.unread) {
            Ok(event) => event,
            Err(error) => return self.breach(error),
        };
        if decoder.is_between_messages() {
            pieces.decoder = None;
        }
        if pieces.unread.is_empty() {
            // Its room goes, too.
            pieces.unread = BytesMut::new();
            if pieces.decoder.is_none() {
                self.reading = Reading::default();
            }
        }
        Ok(event.map(Taken::Event))
    }

    #[cold]
    fn breach(&mut self, error: ProtocolError) -> Result<Option<Taken<'a>>, ProtocolError> {
        self.reading = Reading::default();
        self.bytes = &mut [];
        Err(error)
    }

    /// A whole unfragmented message at the front, within the limit. Whatever else stands there is left to
    /// a decoder, a breach too.
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

    /// Ends here. What has not been taken is kept for later.
    #[must_use]
    #[inline]
    pub fn keep(mut self) -> Reading {
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
        let mut slice = Reading::default().with(&mut bytes, 2);
        assert_eq!(slice.next(), Ok(Some(Taken::Message(true, b"ab"))));
        assert_eq!(slice.next(), Ok(Some(Taken::Message(false, b""))));
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
        let mut slice = Reading::default().with(first, 9);
        assert_eq!(slice.next(), Ok(Some(Taken::Message(true, b"a"))));
        let kept = slice.keep();
        assert!(!kept.is_idle());
        let mut slice = kept.with(second, 9);
        let mut texts = Vec::new();
        while let Ok(Some(Taken::Event(Event::Message(message)))) = slice.next() {
            texts.push(message.data);
        }
        assert_eq!(texts, ["b", "c"]);
        assert!(slice.keep().is_idle());
    }

    #[test]
    fn control_frames_need_no_decoder_afterwards() {
        let mut bytes = BytesMut::new();
        put_frame(&mut bytes, Opcode::Ping, b"p", KEY);
        let mut slice = Reading::default().with(&mut bytes, 9);
        let ping = Event::Ping(b"p"[..].into());
        assert_eq!(slice.next(), Ok(Some(Taken::Event(ping))));
        assert!(slice.keep().is_idle());
    }
}
