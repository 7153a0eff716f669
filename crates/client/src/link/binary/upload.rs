//! A fetch's access to the sending side of its stream.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use fetchway_wire::v1::Session as Machine;
use http::HeaderMap;

use super::state::{BinarySession, BinaryState};
use crate::error::Error;
use crate::link::failure::Failure;
use crate::link::session::wake_writer;
use crate::link::socket::keep_waker;

/// Sends a request's body on its stream. May outlive the stream: then it accepts nothing more.
pub(crate) struct BodySender {
    session: Arc<BinarySession>,
    id: u64,
}

/// The stream accepts no more of the request's body.
#[derive(Debug)]
pub(crate) struct BodyRefused;

impl Drop for BodySender {
    /// Cancels the fetch if the body panicked. Without this the fetch would wait for the body forever.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let detail = "The request's body panicked, so the fetch was cancelled.";
            self.fail(Error::of_body(detail));
        }
    }
}

impl BodySender {
    pub(super) fn new(session: Arc<BinarySession>, id: u64) -> Self {
        Self { session, id }
    }

    /// Waits for room for one more piece. The caller is also woken when the stream ends, until it sends a
    /// piece.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), BodyRefused>> {
        let mut state = self.session.lock();
        let BinaryState { machine, slots, .. } = &mut *state;
        let Some(slot) = slots.get_mut(&self.id).filter(|slot| slot.end.is_none()) else {
            return Poll::Ready(Err(BodyRefused));
        };
        keep_waker(&mut slot.uploader, cx.waker());
        machine.poll_room(self.id, cx).map_err(|_gone| BodyRefused)
    }

    /// Sends one piece.
    pub(crate) fn data(&self, piece: Bytes) -> Result<(), BodyRefused> {
        self.send(|machine, id| machine.data(id, piece).map_err(|_gone| BodyRefused))
    }

    /// Ends the body, with trailers if there are any.
    pub(crate) fn end(&self, trailers: Option<&HeaderMap>) -> Result<(), BodyRefused> {
        self.send(|machine, id| {
            let ended = match trailers {
                None => machine.end(id),
                Some(trailers) => machine.trailers(id, trailers),
            };
            ended.map_err(|_gone| BodyRefused)
        })
    }

    /// Cancels the fetch, as its body failed.
    pub(crate) fn fail(&self, error: Error) {
        let mut state = self.session.lock();
        let Some(slot) = state.open_slot(self.id) else {
            return;
        };
        let unread = std::mem::take(&mut slot.pieces).len();
        slot.end = Some(Err(Failure::Failed(error)));
        let reader = slot.reader.take();
        state.machine.consumed(self.id, unread);
        state.cancel(self.id, Instant::now());
        let writer = state.core.socket.take_writer();
        self.session.publish(&state);
        drop(state);
        reader.into_iter().chain(writer).for_each(Waker::wake);
    }

    fn send<T>(&self, send: impl FnOnce(&mut Machine, u64) -> T) -> T {
        let mut state = self.session.lock();
        let sent = send(&mut state.machine, self.id);
        wake_writer(state);
        sent
    }
}
