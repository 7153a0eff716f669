//! A request body on its way from the client to an origin.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use fetchway_policy::{ErrorName, FetchError};
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::session::Session;

/// Pieces below this many bytes are put together.
const SMALL: usize = 4 << 10;

/// What has come of the body. The stream's window bounds it.
pub(crate) struct Upload {
    /// Its length, if the client has said it.
    said: Option<u64>,
    /// The request's.
    pub(super) tag: Bytes,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes that have come in all.
    came: u64,
    pieces: VecDeque<Bytes>,
    /// Small pieces, put together: each by itself would take many times its bytes.
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
    pub(super) fn new(said: Option<u64>, tag: Bytes) -> Self {
        Self {
            said,
            tag,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, put: impl FnOnce(&mut State)) -> Result<(), FetchError> {
        let mut state = self.state();
        put(&mut state);
        self.check(state.came, state.end)?;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// An origin would cut off a body that is too long, and wait for the rest of one that is too short.
    fn check(&self, came: u64, end: bool) -> Result<(), FetchError> {
        let detail = match self.said {
            Some(said) if came > said => format!(
                "The request's body is longer than its content-length of {said}: correct the field, or \
                 leave it out."
            ),
            Some(said) if end && came < said => format!(
                "The request's body ended after {came} of the {said} bytes that its content-length says."
            ),
            _ => return Ok(()),
        };
        Err(FetchError::new(ErrorName::InvalidRequest, detail))
    }

    /// Takes a piece of the body.
    ///
    /// # Errors
    /// `invalid_request` if its length is not what was said. What is there of it must not be sent on.
    pub(super) fn data(&self, bytes: Bytes, end: bool) -> Result<(), FetchError> {
        self.put(|state| {
            state.came += bytes.len() as u64;
            if bytes.len() < SMALL {
                state.tail.extend_from_slice(&bytes);
            } else {
                state.flush();
                state.pieces.push_back(bytes);
            }
            state.end |= end;
        })
    }

    /// Takes the end of the body.
    ///
    /// # Errors
    /// As of [`data`](Self::data).
    pub(super) fn trailers(&self, trailers: HeaderMap) -> Result<(), FetchError> {
        self.put(|state| {
            state.trailers = Some(trailers);
            state.end = true;
        })
    }
}

/// The body as the engine reads it. Dropped before its end, it tells the client to send no more.
pub(super) struct UploadBody {
    pub(super) session: Arc<Session>,
    pub(super) stream: u64,
    pub(super) upload: Arc<Upload>,
    /// Bytes still to come, if the client has said so.
    pub(super) left: Option<u64>,
    pub(super) ended: bool,
}

impl http_body::Body for UploadBody {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let mut state = this.upload.state();
        if let Some(piece) = state.next() {
            this.ended = state.end && state.is_empty() && state.trailers.is_none();
            drop(state);
            let n = piece.len() as u64;
            this.left = this.left.map(|left| left.saturating_sub(n));
            this.session
                .act(|state| state.machine.consumed(this.stream, n));
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if state.end {
            this.ended = true;
            return Poll::Ready(
                state
                    .trailers
                    .take()
                    .map(|trailers| Ok(Frame::trailers(trailers))),
            );
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for UploadBody {
    fn drop(&mut self) {
        // All that was said has come, and perhaps not the end: more would be a mistake to be told of.
        if !self.ended && self.left != Some(0) {
            // If the stream is over, there is nobody to tell.
            let _ = self.session.act(|state| state.machine.stop(self.stream));
        }
    }
}
