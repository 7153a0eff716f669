//! What has come for a stream and nobody has read yet.

use std::collections::VecDeque;
use std::hash::Hasher;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use fetchway_policy::{ErrorName, FetchError};
use fetchway_wire::v1::ResponseHead;
use http::HeaderMap;

/// How a fetch's stream ended without a response, or within one.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The relay says what failed.
    Failed(FetchError),
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
    pub(crate) fn into_error(self) -> FetchError {
        match self {
            Self::Failed(error) => error,
            Self::Lost { sent: true, why } => FetchError::new(
                ErrorName::OutcomeUnknown,
                format!(
                    "The relay was lost ({why}), and what became of the fetch cannot be known: find out before you send it again."
                ),
            ),
            Self::Lost { sent: false, why } => FetchError::new(
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

/// Pieces of a body in order; most small bodies are one piece.
#[derive(Default)]
pub(super) struct Pieces {
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
}

impl Pieces {
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        if self.first.is_none() && self.more.is_empty() {
            self.first = Some(piece);
        } else {
            self.more.push_back(piece);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.first.take().or_else(|| self.more.pop_front())
    }

    pub(super) fn is_one(&self) -> bool {
        self.more.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        self.first
            .iter()
            .chain(&self.more)
            .map(|piece| piece.len() as u64)
            .sum()
    }
}

/// Stream numbers count up: one multiplication spreads them.
#[derive(Debug, Default)]
pub(super) struct StreamHasher(u64);

impl Hasher for StreamHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(32);
    }
}
