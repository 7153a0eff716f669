//! Room for what the application has to send: in its stream, and in the session as a whole.

use std::task::{Context, Poll};

use super::stream::Half;
use super::{Gone, Session};

/// Bytes that a stream may hold unsent before it has no room for more.
pub(super) const QUEUE: usize = 32 << 10;

impl Session {
    /// Whether what is held for the way out leaves room for more: see
    /// [`Config::held`](super::Config::held).
    fn has_space(&self) -> bool {
        self.held() < self.config.held
    }

    /// Wakes as many of those that wait for room in the session as there is room for.
    pub(super) fn make_room(&mut self) {
        let mut given = 0;
        while self.held() + given < self.config.held && self.wake_next(None) {
            given += QUEUE as u64;
        }
    }

    /// Wakes the next of those that wait for room in the session, `but` this one; whether there is one.
    fn wake_next(&mut self, but: Option<u64>) -> bool {
        while let Some(id) = self.out.crowded.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            stream.send.crowded = false;
            if but != Some(id)
                && let Some(waker) = stream.send.waker.take()
            {
                self.wake.push(waker);
                return true;
            }
        }
        false
    }

    /// Ready when the stream can take its head, or another piece of its body. Others may be to be woken
    /// then: see [`Session::take_wakers`].
    ///
    /// # Errors
    /// [`Gone`] if the stream has ended, or its peer wants no more.
    pub fn poll_room(&mut self, id: u64, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let space = self.has_space();
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(Gone));
        };
        if stream.send.half == Half::Ended {
            return Poll::Ready(Err(Gone));
        }
        let room = stream.queue() < QUEUE;
        if room && space {
            stream.send.waker = None;
        } else {
            match &mut stream.send.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        if !space {
            if !stream.send.crowded {
                stream.send.crowded = true;
                self.out.crowded.push_back(id);
            }
            return Poll::Pending;
        }
        // Whoever was woken for this space may have no use for it now, or not at once: then it is the
        // next one's.
        self.wake_next(Some(id));
        if room {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }
}
