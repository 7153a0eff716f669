//! A fetch's stream: opened here, and its response read here.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use fetchway_wire::v1::{RequestHead, ResponseHead};
use http::HeaderMap;
use http_body::Frame;

use super::slot::Slot;
use super::state::BinarySession;
use super::upload::BodySender;
use crate::error::Error;
use crate::link::failure::Failure;
use crate::link::session::{SessionState as _, wake_writer};
use crate::link::socket::keep_waker;
use crate::request::RequestBody;

/// Bytes up to which a body that has arrived completely is returned together with the head, which saves
/// taking the lock again. A longer body counts against the session's window until it is read.
const WITH_HEAD: u64 = 16 << 10;

/// A stream and its response. Dropping it before its end cancels the fetch.
pub(crate) struct Stream {
    session: Arc<BinarySession>,
    id: u64,
    /// True once the stream has no slot left in the session.
    done: bool,
}

/// The body of a response, as far as it is known together with the head.
pub(crate) enum ResponseBody {
    /// The complete body and its trailers.
    Whole(Option<Bytes>, Option<HeaderMap>),
    /// The body is read from the stream.
    Streamed,
}

impl Stream {
    /// Opens a stream for a fetch and passes on the body if it is complete. `reader` is woken when there is
    /// something to read. Returns `None` if there is no room.
    pub(crate) fn open(
        session: &Arc<BinarySession>,
        head: &RequestHead,
        body: &RequestBody,
        reader: &Waker,
    ) -> Option<Self> {
        let mut state = session.lock();
        // A session that is closing may have its Close under way.
        if state.core.closing || state.core.ended.is_some() || !state.has_capacity() {
            return None;
        }
        let machine = &mut state.machine;
        let id = machine.open(head, matches!(body, RequestBody::None))?;
        if let RequestBody::Whole(bytes) = body {
            let given = machine
                .data(id, bytes.clone())
                .and_then(|()| machine.end(id));
            debug_assert!(given.is_ok(), "a new stream takes its body");
        }
        let slot = Slot {
            reader: Some(reader.clone()),
            ..Slot::default()
        };
        state.slots.insert(id, slot);
        session.publish(&state);
        wake_writer(state);
        Some(Self {
            session: Arc::clone(session),
            id,
            done: false,
        })
    }

    /// Returns the sender of the request's body.
    pub(crate) fn body_sender(&self) -> BodySender {
        BodySender::new(Arc::clone(&self.session), self.id)
    }

    /// Waits for the response's head. Fails with the stream's failure if the stream ends without a head.
    pub(crate) fn poll_head(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Result<(Box<ResponseHead>, ResponseBody), Failure>> {
        let mut state = self.session.lock();
        let Some(slot) = state.slots.get_mut(&self.id) else {
            return Poll::Ready(Err(read_after_end()));
        };
        let Some(head) = slot.head.take() else {
            return match slot.end.take() {
                None => wait(slot, cx),
                Some(end) => {
                    state.slots.remove(&self.id);
                    self.done = true;
                    // No stream ends successfully without a head.
                    Poll::Ready(Err(end.err().unwrap_or_else(read_after_end)))
                }
            };
        };
        let whole = slot.pieces.is_one() && slot.pieces.len() <= WITH_HEAD;
        if !whole || !matches!(slot.end, Some(Ok(_))) {
            return Poll::Ready(Ok((head, ResponseBody::Streamed)));
        }
        let trailers = slot.end.take().and_then(Result::ok).flatten();
        let piece = slot.pieces.pop();
        state.slots.remove(&self.id);
        self.done = true;
        let writer = piece
            .as_ref()
            .and_then(|piece| state.consumed(self.id, piece.len()));
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Ok((head, ResponseBody::Whole(piece, trailers))))
    }

    /// Waits for the next piece of the response's body. Trailers come last.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let mut state = self.session.lock();
        let Some(slot) = state.slots.get_mut(&self.id) else {
            return Poll::Ready(Some(Err(read_after_end().into_error())));
        };
        if let Some(piece) = slot.pieces.pop() {
            let writer = state.consumed(self.id, piece.len());
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

    /// Returns true once the body has ended and was read.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut state = self.session.lock();
        let Some(slot) = state.slots.remove(&self.id) else {
            return;
        };
        // Unread bytes give their room back, also after the end of the stream.
        state.machine.consumed(self.id, slot.pieces.len());
        if slot.end.is_none() {
            state.cancel(self.id, Instant::now());
        }
        let mut wakers = state.machine.take_wakers();
        wakers.extend(slot.uploader);
        wakers.extend(state.core.socket.take_writer());
        self.session.release(state, wakers);
    }
}

fn wait<T>(slot: &mut Slot, cx: &Context<'_>) -> Poll<T> {
    keep_waker(&mut slot.reader, cx.waker());
    Poll::Pending
}

/// Returns the failure of a stream that is read after its end.
fn read_after_end() -> Failure {
    Failure::Lost {
        sent: true,
        why: "its stream has ended".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Queue;
    use crate::settings::Settings;

    #[test]
    fn a_session_that_is_to_be_closed_takes_no_more_streams() {
        let session = BinarySession::new(&Settings::default(), Arc::new(Queue::new(1)));
        let head = RequestHead::new(http::Method::GET, "http://origin.test/");
        let open = || Stream::open(&session, &head, &RequestBody::None, Waker::noop());
        let stream = open().expect("there is room");
        session.lock().core.closing = true;
        assert!(open().is_none(), "its Close may be under way");
        drop(stream);
    }
}
