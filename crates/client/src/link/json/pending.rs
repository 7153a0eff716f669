//! A fetch over JSON: sent here, and its answer taken here.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use fetchway_wire::v1::RequestHead;

use super::answer::WholeResponse;
use super::request;
use super::state::{FetchSlot, JsonSession, Outgoing};
use crate::error::Error;
use crate::link::failure::Failure;
use crate::link::session::wake_writer;

/// A fetch whose answer is awaited. Dropping it before the answer cancels the fetch.
pub(crate) struct PendingAnswer {
    session: Arc<JsonSession>,
    id: u64,
}

impl PendingAnswer {
    /// Queues the message that asks for a fetch. `reader` is woken with the answer. Returns `None` if
    /// there is no room.
    ///
    /// # Errors
    /// `invalid_request` or `limit_exceeded` for a request that JSON cannot carry.
    pub(crate) fn ask(
        session: &Arc<JsonSession>,
        head: &RequestHead,
        body: &[u8],
        reader: &Waker,
    ) -> Option<Result<Self, Error>> {
        let mut state = session.lock();
        if !session.publish(&state) {
            return None;
        }
        state.last_id += 1;
        let (id, has_base64) = (state.last_id, state.has_base64);
        // The message may have megabytes: write it without the lock.
        drop(state);
        let text = match request::fetch_message(id, head, body, has_base64) {
            Ok(text) => text,
            Err(error) => return Some(Err(error)),
        };
        let mut state = session.lock();
        if !session.publish(&state) {
            return None;
        }
        let fetch = FetchSlot {
            reader: Some(reader.clone()),
            len: text.len(),
            ..FetchSlot::default()
        };
        state.queued += text.len();
        state.outgoing.push_back(Outgoing {
            fetch: Some(id),
            text,
        });
        state.fetches.insert(id, fetch);
        session.publish(&state);
        wake_writer(state);
        Some(Ok(Self {
            session: Arc::clone(session),
            id,
        }))
    }

    /// Waits for the response, or why there is none.
    pub(crate) fn poll_answer(&mut self, cx: &Context<'_>) -> Poll<Result<WholeResponse, Failure>> {
        let mut state = self.session.lock();
        let Some(fetch) = state.fetches.get_mut(&self.id) else {
            // The answer was taken before.
            return Poll::Pending;
        };
        let Some(answer) = fetch.answer.take() else {
            fetch.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let wakers = state.remove(self.id);
        self.session.release(state, wakers.into_iter().flatten());
        Poll::Ready(answer)
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        let mut state = self.session.lock();
        let Some(fetch) = state.fetches.get_mut(&self.id) else {
            return;
        };
        let mut wakers = [None, None];
        if fetch.answer.is_some() {
            wakers = state.remove(self.id);
        } else {
            // The fetch counts until the relay answers, so that cancels are limited as fetches are.
            fetch.dropped = true;
            fetch.reader = None;
            if fetch.sent {
                state.outgoing.push_back(Outgoing {
                    fetch: None,
                    text: request::cancel_message(self.id),
                });
                wakers[0] = state.core.socket.take_writer();
            }
        }
        self.session.release(state, wakers.into_iter().flatten());
    }
}
