//! One fetch over JSON: its answer is waited for here, and dropping it withdraws it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use fetchway_wire::v1::ResponseHead;

use super::{Text, message};
use crate::link::slot::Failure;

/// A fetch whose answer somebody waits for. Dropped before, it is withdrawn.
pub(crate) struct Pending {
    pub(super) text: Arc<Text>,
    pub(super) id: u64,
}

impl Pending {
    /// The response, or why there is none.
    pub(crate) fn poll_answer(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Result<(Box<ResponseHead>, Bytes), Failure>> {
        let mut state = self.text.lock();
        let Some(asked) = state.asked.get_mut(&self.id) else {
            // Asked again after its answer.
            return Poll::Pending;
        };
        let Some(answer) = asked.answer.take() else {
            asked.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let wake = state.forget(self.id);
        let room = self.text.note(&state);
        drop(state);
        wake.into_iter().flatten().for_each(Waker::wake);
        if room {
            self.text.queue.nudge();
        }
        Poll::Ready(answer)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut state = self.text.lock();
        let Some(asked) = state.asked.get_mut(&self.id) else {
            return;
        };
        let mut wake = [None, None];
        if asked.answer.is_some() {
            wake = state.forget(self.id);
        } else {
            // It counts until it is answered, so that cancels are bounded as fetches are.
            asked.dropped = true;
            asked.reader = None;
            if asked.sent {
                state.out.push_back((None, message::cancel(self.id)));
                wake[0] = state.socket.writer();
            }
        }
        let room = self.text.note(&state);
        drop(state);
        wake.into_iter().flatten().for_each(Waker::wake);
        if room {
            self.text.queue.nudge();
        }
    }
}
