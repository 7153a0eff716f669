//! The pieces of a request body that have come from the client and have not been read by the engine.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use fetchway_policy::{ErrorName, FetchError};
use http::HeaderMap;
use parking_lot::Mutex;

/// Pieces smaller than this number of bytes are joined: each of them would take many times its bytes.
const SMALL: usize = 4 << 10;

/// The received part of a request body. The stream's window bounds its bytes.
pub(crate) struct Upload {
    /// The `content-length`, if the client has sent one.
    length: Option<u64>,
    /// Tag of the request.
    pub(super) tag: Bytes,
    state: Mutex<State>,
}

/// A part of a body, in order.
pub(super) enum Piece {
    /// Bytes; `last` if neither bytes nor trailers follow.
    Data { bytes: Bytes, last: bool },
    /// The end of the body, with its trailers.
    End(Option<HeaderMap>),
}

#[derive(Default)]
struct State {
    /// Bytes received so far.
    received: u64,
    pieces: VecDeque<Bytes>,
    /// Small pieces, joined.
    tail: BytesMut,
    trailers: Option<HeaderMap>,
    end: bool,
    waker: Option<Waker>,
}

impl State {
    fn flush(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        if self.pieces.is_empty() {
            self.flush();
        }
        self.pieces.pop_front()
    }

    fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.tail.is_empty()
    }
}

impl Upload {
    pub(super) fn new(length: Option<u64>, tag: Bytes) -> Self {
        Self {
            length,
            tag,
            state: Mutex::default(),
        }
    }

    fn put(&self, put: impl FnOnce(&mut State)) -> Result<(), FetchError> {
        let mut state = self.state.lock();
        put(&mut state);
        self.check(state.received, state.end)?;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Compares the body with its `content-length`. An origin would cut off a body that is too long, and wait
    /// for the rest of one that is too short.
    fn check(&self, received: u64, end: bool) -> Result<(), FetchError> {
        let detail = match self.length {
            Some(length) if received > length => format!(
                "The request's body is longer than its content-length of {length}: correct the field, or \
                 leave it out."
            ),
            Some(length) if end && received < length => format!(
                "The request's body ended after {received} of the {length} bytes of its content-length: \
                 correct the field, or leave it out."
            ),
            _ => return Ok(()),
        };
        Err(FetchError::new(ErrorName::InvalidRequest, detail))
    }

    /// Adds a piece of the body.
    ///
    /// # Errors
    /// `invalid_request` if the body does not have the length of its `content-length`. The part that was
    /// received must not be sent on.
    pub(super) fn data(&self, bytes: Bytes, end: bool) -> Result<(), FetchError> {
        self.put(|state| {
            state.received += bytes.len() as u64;
            if bytes.len() < SMALL {
                state.tail.extend_from_slice(&bytes);
            } else {
                state.flush();
                state.pieces.push_back(bytes);
            }
            state.end |= end;
        })
    }

    /// Adds the trailers, which end the body.
    ///
    /// # Errors
    /// As of [`data`](Self::data).
    pub(super) fn trailers(&self, trailers: HeaderMap) -> Result<(), FetchError> {
        self.put(|state| {
            state.trailers = Some(trailers);
            state.end = true;
        })
    }

    /// Returns the next piece, or the end.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Piece> {
        let mut state = self.state.lock();
        if let Some(bytes) = state.next() {
            let last = state.end && state.is_empty() && state.trailers.is_none();
            return Poll::Ready(Piece::Data { bytes, last });
        }
        if state.end {
            return Poll::Ready(Piece::End(state.trailers.take()));
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}
