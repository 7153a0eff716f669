//! Room for outbound data: in a stream, and in the session as a whole.

use std::task::{Context, Poll};

use super::stream::Half;
use super::{Gone, Session};

/// Number of unsent bytes from which on a stream has no room for more.
pub(super) const QUEUE: usize = 32 << 10;

impl Session {
    /// Returns true if the session has room for more outbound data: see
    /// [`Config::held`](super::Config::held).
    fn has_space(&self) -> bool {
        self.held() < self.config.held
    }

    /// Wakes as many streams that wait for room in the session as there is room for.
    pub(super) fn wake_waiting(&mut self) {
        let mut given = 0;
        while self.held() + given < self.config.held && self.wake_next(None) {
            given += QUEUE as u64;
        }
    }

    /// Wakes the next stream that waits for room in the session, other than `but`. Returns true if
    /// there was one.
    fn wake_next(&mut self, but: Option<u64>) -> bool {
        while let Some(id) = self.out.room_queue.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            stream.send.in_room_queue = false;
            if but != Some(id)
                && let Some(waker) = stream.send.waker.take()
            {
                self.wake.push(waker);
                return true;
            }
        }
        false
    }

    /// Waits until the stream has room for its head, or for another piece of its body. The call may
    /// also make wakers of other streams available: see [`Session::take_wakers`].
    ///
    /// # Errors
    /// [`Gone`] if the stream has ended, or the peer has stopped the body.
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
            if !stream.send.in_room_queue {
                stream.send.in_room_queue = true;
                self.out.room_queue.push_back(id);
            }
            return Poll::Pending;
        }
        // The stream that was woken for this room may not need it, or not yet: so the next one is
        // woken.
        self.wake_next(Some(id));
        if room {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }
}
