//! What has come for a stream and nobody has read yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use bytes::{Bytes, BytesMut};
use fetchway_policy::ErrorName;
use fetchway_wire::v1::ResponseHead;
use http::HeaderMap;

use crate::error::Error;

/// How a fetch's stream ended without a response, or within one.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The relay says what failed, or the request's body did.
    Failed(Error),
    /// The session is gone.
    Lost {
        /// The request has been sent, so that its outcome can't be known.
        sent: bool,
        /// What happened to the session.
        why: Arc<str>,
    },
}

impl Failure {
    /// What a caller is told when there is no other way.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::Lost { sent: true, why } => Error::new(
                ErrorName::OutcomeUnknown,
                format!(
                    "The relay was lost ({why}), and what became of the fetch cannot be known: find out before you send it again."
                ),
            ),
            Self::Lost { sent: false, why } => Error::new(
                ErrorName::DestinationUnavailable,
                format!("The relay was lost ({why}) before the fetch was sent: send it again."),
            ),
        }
    }
}

/// What has come for a stream.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) head: Option<Box<ResponseHead>>,
    pub(super) answered: bool,
    pub(super) pieces: Pieces,
    pub(super) end: Option<Result<Option<HeaderMap>, Failure>>,
    /// Who waits for any of that.
    pub(super) reader: Option<Waker>,
    /// Who is to know when no more is wanted of the request's body.
    pub(super) uploader: Option<Waker>,
}

/// A piece that is smaller than this joins the one before it: what it would take beside its bytes,
/// and the message that it would hold in memory, is more than it.
const SMALL: usize = 1 << 10;

/// Small pieces are joined up to this.
const JOINED: usize = 16 << 10;

/// Pieces of a body in order; most small bodies are one piece.
#[derive(Default)]
pub(super) struct Pieces {
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
    /// Small ones, joined: they come last.
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

    pub(super) fn is_one(&self) -> bool {
        self.more.is_empty() && (self.first.is_none() || self.small.is_empty())
    }

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
