//! Reads and writes the socket of a JSON session.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::BytesMut;
use fetchway_ws::{CloseCode, Event, Opcode, Receiver, put_frame};
use tokio::io::AsyncRead;

use super::answer::{self, Answer, WholeResponse};
use super::state::{JsonSession, JsonState};
use crate::link::drive::{Protocol, SocketEnd, Work, read_failed};
use crate::link::failure::Failure;

/// Bytes of messages that are written at a time. The message that exceeds this is still included.
const BATCH: usize = 64 << 10;

impl Protocol for JsonState {
    /// A relay limits a response to 32 MiB by default, which grows in JSON by a third or more.
    const MAX_MESSAGE: usize = 256 << 20;

    fn poll_may_read(session: &JsonSession, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = session.lock();
        if !state.is_full() {
            return Poll::Ready(());
        }
        state.core.socket.park_reader(cx.waker());
        Poll::Pending
    }

    fn receive<R: AsyncRead + Unpin>(
        session: &JsonSession,
        first: Event,
        receiver: &mut Receiver<R>,
    ) -> Option<SocketEnd> {
        let now = Instant::now();
        let mut wakers = Vec::new();
        let mut next = Some(first);
        let mut end = None;
        while let (Some(event), None) = (next.take(), &end) {
            // Parsed before the lock is taken: an answer may have megabytes.
            let answer = match &event {
                Event::Message(message) if message.text => answer::parse(&message.data),
                _ => None,
            };
            let mut state = session.lock();
            end = state.receive_event(event, answer, now, &mut wakers);
            if state.is_full() {
                break;
            }
            drop(state);
            match receiver.ready() {
                Ok(more) => next = more,
                Err(error) => end = end.or_else(|| Some(read_failed(session, &error))),
            }
        }
        let has_room = session.publish(&session.lock());
        wakers.into_iter().for_each(Waker::wake);
        if has_room || end.is_some() {
            session.queue.wake_next();
        }
        end
    }

    fn work(session: &JsonSession, waker: &Waker) -> Work {
        let now = Instant::now();
        let mut guard = session.lock();
        let state = &mut *guard;
        let core = &mut state.core;
        if core.closing && state.fetches.is_empty() {
            core.socket.close(CloseCode::Normal, "");
        }
        if !state.outgoing.is_empty() || core.socket.has_work(now, session.liveness) {
            return Work::Now;
        }
        core.socket.park_writer(waker);
        let at = core.socket.ping_at(session.liveness);
        drop(guard);
        Work::At(session.next_wake(now).map_or(at, |wake| wake.min(at)))
    }

    fn fill(session: &JsonSession, out: &mut BytesMut) -> bool {
        let now = Instant::now();
        let mut state = session.lock();
        let socket = &mut state.core.socket;
        socket.put_pong_and_ping(now, session.liveness, out);
        while out.len() < BATCH
            && let Some(message) = state.outgoing.pop_front()
        {
            if let Some(id) = message.fetch {
                state.queued -= message.text.len();
                if !state.begin_sending(id) {
                    continue;
                }
            }
            let text = message.text.as_bytes();
            put_frame(out, Opcode::Text, text, Some(rand::random()));
        }
        let closed = state.core.socket.put_close(out);
        session.release(state, None);
        closed
    }
}

impl JsonState {
    fn receive_event(
        &mut self,
        event: Event,
        answer: Option<Answer>,
        now: Instant,
        wakers: &mut Vec<Waker>,
    ) -> Option<SocketEnd> {
        let socket = &mut self.core.socket;
        socket.note_received(now);
        match event {
            Event::Message(message) => {
                let Some(answer) = answer else {
                    // The message may have been the answer that a fetch waits for.
                    let why = "a message is not a JSON object";
                    socket.close(CloseCode::Unsupported, why);
                    return Some(SocketEnd::SessionOver(format!(
                        "it broke the protocol: {why}"
                    )));
                };
                let (id, outcome) = match answer {
                    Answer::To(id, outcome) => (id, outcome),
                    Answer::TooLong(error) => (self.longest_sent()?, Err(error)),
                    // An answer to a message that this client did not send.
                    Answer::Other => return None,
                };
                self.core.useful = true;
                let outcome = outcome.map_err(Failure::Failed);
                wakers.extend(self.receive_answer(id, outcome, message.data.len()));
                None
            }
            Event::TooLong(len) => {
                socket.close(CloseCode::TooBig, "an answer is too long");
                Some(SocketEnd::SessionOver(format!(
                    "it sent a message of {len} bytes"
                )))
            }
            Event::Ping(payload) => {
                socket.queue_pong(payload);
                None
            }
            Event::Pong(_) => None,
            Event::Close(code, reason) => {
                socket.close(CloseCode::Normal, "");
                Some(SocketEnd::SessionOver(format!(
                    "it closed with {code} {reason}"
                )))
            }
        }
    }

    /// Stores an answer of `len` bytes. Returns whom to wake.
    fn receive_answer(
        &mut self,
        id: u64,
        outcome: Result<WholeResponse, Failure>,
        len: usize,
    ) -> Option<Waker> {
        let fetch = self.fetches.get_mut(&id)?;
        if fetch.dropped {
            let [_, writer] = self.remove(id);
            return writer;
        }
        if fetch.answer.is_none() {
            fetch.unread = len;
            self.unread += len;
            fetch.answer = Some(outcome);
        }
        fetch.reader.take()
    }

    /// Returns the longest request that was sent and has no answer. A relay skips a message that is too
    /// long without reading its id, so the longest one is taken to be meant.
    fn longest_sent(&self) -> Option<u64> {
        let fetches = self.fetches.iter();
        let sent = fetches.filter(|(_, fetch)| fetch.sent && fetch.answer.is_none());
        sent.max_by_key(|(_, fetch)| fetch.len).map(|(id, _)| *id)
    }

    /// Marks a request as sent. Returns false if it was dropped meanwhile.
    fn begin_sending(&mut self, id: u64) -> bool {
        match self.fetches.get_mut(&id) {
            Some(fetch) if !fetch.dropped => {
                fetch.sent = true;
                true
            }
            _ => {
                self.fetches.remove(&id);
                false
            }
        }
    }
}
