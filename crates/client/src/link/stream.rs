//! One fetch's stream: its response is read here, its body given, and dropping it cancels.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use fetchway_wire::v1::ResponseHead;
use http::HeaderMap;
use http_body::Frame;

use super::line::{Line, State};
use super::slot::{Failure, Slot};
use super::socket::wake_writer;
use crate::error::Error;

/// A body that is here as a whole is handed over at once, up to so many bytes: the fetch then needs
/// the lock no more. What is longer stays counted against the session's window until it is read.
const AT_ONCE: u64 = 16 << 10;

/// A stream that somebody reads. Dropped before its end, it is cancelled.
pub(crate) struct Stream {
    line: Arc<Line>,
    id: u64,
    /// Nothing is left of it behind the lock.
    done: bool,
}

/// What is known of a response's body when its head is handed over.
pub(crate) enum Rest {
    /// All of it.
    Whole(Option<Bytes>, Option<HeaderMap>),
    /// It is yet to come.
    Follows,
}

impl Stream {
    pub(super) fn new(line: Arc<Line>, id: u64) -> Self {
        Self {
            line,
            id,
            done: false,
        }
    }

    /// The way in for the request's body.
    pub(crate) fn intake(&self) -> Intake {
        Intake {
            line: Arc::clone(&self.line),
            id: self.id,
        }
    }

    /// The response's head, and how the stream ended if none came.
    pub(crate) fn poll_head(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Result<(Box<ResponseHead>, Rest), Failure>> {
        let mut state = self.line.lock();
        let Some(slot) = state.slots.get_mut(&self.id) else {
            return Poll::Ready(Err(gone()));
        };
        let Some(head) = slot.head.take() else {
            return match slot.end.take() {
                None => wait(slot, cx),
                Some(end) => {
                    state.slots.remove(&self.id);
                    self.done = true;
                    // A stream does not end well without a head.
                    Poll::Ready(Err(end.err().unwrap_or_else(gone)))
                }
            };
        };
        let whole = slot.pieces.is_one() && slot.pieces.len() <= AT_ONCE;
        if !whole || !matches!(slot.end, Some(Ok(_))) {
            return Poll::Ready(Ok((head, Rest::Follows)));
        }
        let trailers = slot.end.take().and_then(Result::ok).flatten();
        let piece = slot.pieces.pop();
        state.slots.remove(&self.id);
        self.done = true;
        let writer = piece
            .as_ref()
            .and_then(|piece| state.read(self.id, piece.len()));
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Ok((head, Rest::Whole(piece, trailers))))
    }

    /// The response's body, piece by piece; trailers come last.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let mut state = self.line.lock();
        let Some(slot) = state.slots.get_mut(&self.id) else {
            return Poll::Ready(Some(Err(gone().into_error())));
        };
        if let Some(piece) = slot.pieces.pop() {
            let writer = state.read(self.id, piece.len());
            drop(state);
            if let Some(writer) = writer {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match slot.end.take() {
            None => wait(slot, cx),
            Some(end) => {
                state.slots.remove(&self.id);
                self.done = true;
                Poll::Ready(match end {
                    Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
                    Err(failure) => Some(Err(failure.into_error())),
                })
            }
        }
    }

    /// Whether the body has ended and been read.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut state = self.line.lock();
        let Some(slot) = state.slots.remove(&self.id) else {
            return;
        };
        // What has come and will not be read gives its room back, also where the stream has ended.
        state.session.consumed(self.id, slot.pieces.len());
        if slot.end.is_none() {
            state.cancel(self.id, Instant::now());
        }
        let mut wake = state.session.take_wakers();
        wake.extend(slot.uploader);
        wake.extend(state.socket.writer());
        let room = self.line.note(&state);
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        if room {
            self.line.queue.nudge();
        }
    }
}

/// The way in for a request's body. It may outlive its stream: then it takes nothing more.
pub(crate) struct Intake {
    line: Arc<Line>,
    id: u64,
}

impl Drop for Intake {
    /// A body that panics has neither ended nor said why: without this its fetch would wait for ever.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let detail = "The request's body panicked, so the fetch was cancelled.";
            self.fail(Error::of_body(detail));
        }
    }
}

/// The relay wants no more of the body.
#[derive(Debug)]
pub(crate) struct Enough;

impl Intake {
    /// Ready when there is room for a piece. Until a piece is given, whoever asked is woken as well
    /// when no more is wanted.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Enough>> {
        let mut state = self.line.lock();
        let State { session, slots, .. } = &mut *state;
        let Some(slot) = slots.get_mut(&self.id).filter(|slot| slot.end.is_none()) else {
            return Poll::Ready(Err(Enough));
        };
        keep(&mut slot.uploader, cx);
        session.poll_room(self.id, cx).map_err(|_gone| Enough)
    }

    pub(crate) fn data(&self, piece: Bytes) -> Result<(), Enough> {
        self.give(|session, id| session.data(id, piece).map_err(|_gone| Enough))
    }

    pub(crate) fn end(&self, trailers: Option<&HeaderMap>) -> Result<(), Enough> {
        self.give(|session, id| {
            let ended = match trailers {
                None => session.end(id),
                Some(trailers) => session.trailers(id, trailers),
            };
            ended.map_err(|_gone| Enough)
        })
    }

    /// Gives up the fetch: its body could not be had.
    pub(crate) fn fail(&self, error: Error) {
        let mut state = self.line.lock();
        let Some(slot) = state
            .slots
            .get_mut(&self.id)
            .filter(|slot| slot.end.is_none())
        else {
            return;
        };
        let unread = std::mem::take(&mut slot.pieces).len();
        slot.end = Some(Err(Failure::Failed(error)));
        let reader = slot.reader.take();
        state.session.consumed(self.id, unread);
        state.cancel(self.id, Instant::now());
        let writer = state.socket.writer();
        self.line.note(&state);
        drop(state);
        reader.into_iter().chain(writer).for_each(Waker::wake);
    }

    fn give<T>(&self, give: impl FnOnce(&mut fetchway_wire::v1::Session, u64) -> T) -> T {
        let mut state = self.line.lock();
        let given = give(&mut state.session, self.id);
        wake_writer(state);
        given
    }
}

impl State {
    /// A piece has been read. Gives whoever is to tell the relay, if it is to be told.
    fn read(&mut self, id: u64, bytes: usize) -> Option<Waker> {
        self.session.consumed(id, bytes as u64);
        if self.session.wants_transmit(Instant::now()) {
            self.socket.writer()
        } else {
            None
        }
    }
}

fn wait<T>(slot: &mut Slot, cx: &Context<'_>) -> Poll<T> {
    keep(&mut slot.reader, cx);
    Poll::Pending
}

fn keep(kept: &mut Option<Waker>, cx: &Context<'_>) {
    match kept {
        Some(waker) => waker.clone_from(cx.waker()),
        none => *none = Some(cx.waker().clone()),
    }
}

/// A stream that is asked after its end.
fn gone() -> Failure {
    Failure::Lost {
        sent: true,
        why: "its stream has ended".into(),
    }
}
