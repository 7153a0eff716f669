//! What a socket of the JSON encoding says and hears.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::BytesMut;
use fetchway_ws::{CloseCode, Event, Opcode, Receiver, put_frame};
use tokio::io::AsyncRead;

use super::answer::{self, Answer};
use super::{State, Text};
use crate::link::drive::{Ended, Peer, Work, failed};
use crate::link::slot::Failure;
use crate::link::socket::{Liveness, Socket};

/// Bytes of messages given to the socket at a time, and the one that passes this.
const BATCH: usize = 64 << 10;

impl Peer for Text {
    /// A response's cap at a relay is 32 MiB, which grows in JSON by a third or more.
    const MAX_MESSAGE: usize = 256 << 20;

    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.is_full() {
            return Poll::Ready(());
        }
        state.socket.park_reader(cx.waker());
        Poll::Pending
    }

    fn take<R: AsyncRead + Unpin>(
        &self,
        first: Event,
        receiver: &mut Receiver<R>,
    ) -> Option<Ended> {
        let now = Instant::now();
        let mut wake = Vec::new();
        let mut next = Some(first);
        let mut ended = None;
        while let (Some(event), None) = (next.take(), &ended) {
            ended = self.take_one(event, now, &mut wake);
            if self.lock().is_full() {
                break;
            }
            match receiver.ready() {
                Ok(more) => next = more,
                Err(error) => ended = ended.or_else(|| Some(failed(self, &error))),
            }
        }
        let room = self.note(&self.lock());
        wake.into_iter().for_each(Waker::wake);
        if room || ended.is_some() {
            self.queue.nudge();
        }
        ended
    }

    fn work(&self, waker: &Waker) -> Work {
        let now = Instant::now();
        let mut state = self.lock();
        if state.unwanted && state.asked.is_empty() {
            state.socket.close(CloseCode::Normal, "");
        }
        if !state.out.is_empty() || state.socket.wants(now, self.liveness) {
            return Work::Now;
        }
        state.socket.park_writer(waker);
        let at = state.socket.ping_at(self.liveness);
        drop(state);
        // Whoever waits for the room that there is should have come for it by then.
        let late = self.has_room().then(|| self.queue.nudge_late(now));
        Work::At(late.flatten().map_or(at, |late| late.min(at)))
    }

    fn fill(&self, out: &mut BytesMut) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        state.socket.put(now, self.liveness, out);
        while out.len() < BATCH
            && let Some((id, text)) = state.out.pop_front()
        {
            if let Some(id) = id {
                state.queued -= text.len();
                if !state.goes(id) {
                    continue;
                }
            }
            put_frame(out, Opcode::Text, text.as_bytes(), Some(rand::random()));
        }
        let closed = state.socket.put_close(out);
        let room = self.note(&state);
        drop(state);
        if room {
            self.queue.nudge();
        }
        closed
    }

    fn socket<T>(&self, act: impl FnOnce(&mut Socket) -> T) -> T {
        act(&mut self.lock().socket)
    }

    fn liveness(&self) -> Liveness {
        self.liveness
    }
}

impl Text {
    fn take_one(&self, event: Event, now: Instant, wake: &mut Vec<Waker>) -> Option<Ended> {
        // Read before the lock is taken: an answer may be megabytes.
        let answer = match &event {
            Event::Message(read) if read.text => answer::read(&read.data),
            _ => None,
        };
        let mut state = self.lock();
        state.socket.heard(now);
        match event {
            Event::Message(read) => {
                let Some(answer) = answer else {
                    // Some fetch may wait for just this.
                    let why = "a message is no JSON object";
                    state.socket.close(CloseCode::Unsupported, why);
                    return Some(Ended::Over(format!("it broke the protocol: {why}")));
                };
                let (id, outcome) = match answer {
                    Answer::To(id, outcome) => (id, outcome),
                    Answer::TooLong(error) => (state.longest()?, Err(error)),
                    // What is not about one of our fetches is about a message that we did not send.
                    Answer::Other => return None,
                };
                state.useful = true;
                wake.extend(state.answered(id, outcome.map_err(Failure::Failed), read.data.len()));
                None
            }
            Event::TooLong(len) => {
                state
                    .socket
                    .close(CloseCode::TooBig, "an answer is too long");
                Some(Ended::Over(format!("it sent a message of {len} bytes")))
            }
            Event::Ping(payload) => {
                state.socket.ping_came(payload);
                None
            }
            Event::Pong(_) => None,
            Event::Close(code, reason) => {
                state.socket.close(CloseCode::Normal, "");
                Some(Ended::Over(format!("it closed with {code} {reason}")))
            }
        }
    }
}

impl State {
    /// Whether there are as many unread answers as may be.
    fn is_full(&self) -> bool {
        self.unread >= self.window
    }

    /// An answer of `len` bytes has come. Gives whoever is to know.
    fn answered(
        &mut self,
        id: u64,
        outcome: Result<answer::Whole, Failure>,
        len: usize,
    ) -> Option<Waker> {
        let asked = self.asked.get_mut(&id)?;
        if asked.dropped {
            let [_, writer] = self.forget(id);
            return writer;
        }
        if asked.answer.is_none() {
            asked.unread = len;
            self.unread += len;
            asked.answer = Some(outcome);
        }
        asked.reader.take()
    }

    /// The longest message that has been sent and not been answered: the relay skips what is too
    /// long for it, and cannot tell whose it was.
    fn longest(&self) -> Option<u64> {
        let asked = self.asked.iter();
        let sent = asked.filter(|(_, asked)| asked.sent && asked.answer.is_none());
        sent.max_by_key(|(_, asked)| asked.len).map(|(id, _)| *id)
    }

    /// A request's turn to be written has come. Whether it is still wanted.
    fn goes(&mut self, id: u64) -> bool {
        match self.asked.get_mut(&id) {
            Some(asked) if !asked.dropped => {
                asked.sent = true;
                true
            }
            _ => {
                self.asked.remove(&id);
                false
            }
        }
    }
}
