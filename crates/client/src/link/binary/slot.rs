//! Received and unread parts of a stream's response.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::ResponseHead;
use http::HeaderMap;

use crate::link::failure::Failure;

/// Received and unread parts of a stream's response, and the wakers of its two ends.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) head: Option<Box<ResponseHead>>,
    /// True once a head has arrived, also after it was taken.
    pub(super) answered: bool,
    pub(super) pieces: Pieces,
    pub(super) end: Option<Result<Option<HeaderMap>, Failure>>,
    /// Waker of the fetch, which waits for any of the above.
    pub(super) reader: Option<Waker>,
    /// Waker of the request's body, which waits for room, or for the end of the stream.
    pub(super) uploader: Option<Waker>,
}

impl Slot {
    /// Moves the wakers of both ends to `wakers`.
    pub(super) fn take_wakers(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.reader.take());
        wakers.extend(self.uploader.take());
    }
}

/// Bytes below which a piece is joined to the one before: kept alone, its overhead and the message that its
/// bytes keep in memory would be larger than the piece.
const SMALL: usize = 1 << 10;

/// Bytes up to which small pieces are joined.
const JOINED: usize = 16 << 10;

/// Unread pieces of a body, in order. Most small bodies are one piece.
#[derive(Default)]
pub(super) struct Pieces {
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
    /// Small pieces, joined. They follow all others.
    small: BytesMut,
}

impl Pieces {
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        if self.first.is_none() && self.more.is_empty() && self.small.is_empty() {
            self.first = Some(piece);
            return;
        }
        let small = piece.len() < SMALL;
        if !self.small.is_empty() && (!small || self.small.len() + piece.len() > JOINED) {
            self.more.push_back(self.small.split().freeze());
        }
        if small {
            self.small.extend_from_slice(&piece);
        } else {
            self.more.push_back(piece);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let piece = self.first.take().or_else(|| self.more.pop_front());
        let small = || Some(std::mem::take(&mut self.small).freeze());
        piece.or_else(small).filter(|piece| !piece.is_empty())
    }

    /// Returns true if at most one piece is left.
    pub(super) fn is_one(&self) -> bool {
        self.more.is_empty() && (self.first.is_none() || self.small.is_empty())
    }

    /// Returns the number of unread bytes.
    pub(super) fn len(&self) -> u64 {
        let small = self.small.len() as u64;
        let pieces = self.first.iter().chain(&self.more);
        small + pieces.map(|piece| piece.len() as u64).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_joined_and_nothing_changes_its_place() {
        let mut pieces = Pieces::default();
        assert!(pieces.is_one() && pieces.pop().is_none());
        let mut all = Vec::new();
        for at in 0..60_000_u32 {
            let piece = match at % 20_000 {
                7_000 => vec![at as u8; SMALL],
                _ => vec![at as u8],
            };
            all.extend_from_slice(&piece);
            pieces.push(piece.into());
        }
        assert_eq!(pieces.len(), all.len() as u64);
        assert!(!pieces.is_one());
        let mut came = Vec::new();
        let mut count = 0;
        while let Some(piece) = pieces.pop() {
            came.extend_from_slice(&piece);
            count += 1;
        }
        assert_eq!(came, all);
        assert!(count < 20, "{count} pieces");
        pieces.push(Bytes::from_static(b"one"));
        assert!(pieces.is_one());
        pieces.push(Bytes::from_static(b"two"));
        assert!(!pieces.is_one());
        pieces.pop();
        assert!(pieces.is_one());
        assert_eq!(pieces.pop().as_deref(), Some(&b"two"[..]));
    }
}
