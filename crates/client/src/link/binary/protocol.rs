//! Reads and writes the socket of a binary session.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::session::FILL;
use fetchway_wire::v1::{Event, Hello, MAX_MESSAGE, Violation, decode};
use fetchway_ws::{CloseCode, Event as WsEvent, MAX_HEADER, Opcode, Receiver, seal};
use tokio::io::AsyncRead;

use super::state::{BinarySession, BinaryState};
use crate::error::Error;
use crate::link::drive::{Protocol, SocketEnd, Work, read_failed};
use crate::link::failure::Failure;

impl Protocol for BinaryState {
    const MAX_MESSAGE: usize = MAX_MESSAGE;

    fn receive<R: AsyncRead + Unpin>(
        session: &BinarySession,
        first: WsEvent,
        receiver: &mut Receiver<R>,
    ) -> Option<SocketEnd> {
        let now = Instant::now();
        let mut wakers = Vec::new();
        let mut state = session.lock();
        state.core.socket.note_received(now);
        let was_parked = state.core.parked;
        let mut next = Some(first);
        let mut end = None;
        let mut broken = None;
        while let Some(event) = next.take() {
            end = state.receive_event(event, now, &mut wakers);
            if end.is_some() {
                break;
            }
            match receiver.ready() {
                Ok(more) => next = more,
                Err(error) => broken = Some(error),
            }
        }
        wakers.append(&mut state.machine.take_wakers());
        let has_room = session.publish(&state);
        let resumed = was_parked && !state.core.parked;
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        if resumed {
            session.queue.relay_changed();
        } else if has_room || end.is_some() {
            session.queue.wake_next();
        }
        end.or_else(|| broken.map(|error| read_failed(session, &error)))
    }

    fn work(session: &BinarySession, waker: &Waker) -> Work {
        let now = Instant::now();
        let mut guard = session.lock();
        let state = &mut *guard;
        if !state.waiting_cancels.is_empty() {
            state.cancel_waiting(now);
        }
        let core = &mut state.core;
        let idle = state.machine.open_streams() == 0;
        if idle && (core.closing || core.leaving) && !core.parked {
            core.socket.close(CloseCode::Normal, "");
        }
        if state.machine.wants_transmit(now) || core.socket.has_work(now, session.liveness) {
            return Work::Now;
        }
        core.socket.park_writer(waker);
        let mut at = core.socket.ping_at(session.liveness);
        if !state.waiting_cancels.is_empty() {
            at = state.cancel_limit.next_at().map_or(at, |next| next.min(at));
        }
        let at = state.machine.deadline().map_or(at, |due| due.min(at));
        drop(guard);
        Work::At(session.next_wake(now).map_or(at, |wake| wake.min(at)))
    }

    fn fill(session: &BinarySession, out: &mut BytesMut) -> bool {
        let now = Instant::now();
        let mut state = session.lock();
        let socket = &mut state.core.socket;
        socket.put_pong_and_ping(now, session.liveness, out);
        let begun = out.len();
        // The WebSocket header is known only after the frames behind it: leave room for it.
        out.resize(begun + MAX_HEADER, 0);
        state.machine.transmit(now, out, begun + MAX_HEADER + FILL);
        let socket = &mut state.core.socket;
        let closed = socket.is_closing().then(|| {
            let mut close = BytesMut::new();
            socket.put_close(&mut close);
            close
        });
        let wakers = state.machine.take_wakers();
        session.release(state, wakers);
        seal(out, begun, Opcode::Binary, Some(rand::random()));
        if let Some(close) = &closed {
            out.extend_from_slice(close);
        }
        closed.is_some()
    }
}

/// Returns true if this close code ends the session (`docs/protocol.md`). `leaving`: the relay has
/// announced that it leaves.
///
/// After any other code the session is resumed, and the relay then says whether it still exists. Codes
/// that are not listed in the protocol, and 1001 without an announcement, come from something in
/// between. 4408 means that the client was silent, 4409 that another socket took over. 1002 and 1007
/// are violations of the WebSocket protocol.
fn ends_session(code: u16, leaving: bool) -> bool {
    match code {
        1000 | 1002 | 1003 | 1007 | 1009 => true,
        1001 => leaving,
        4400 | 4401 | 4413 | 4420 | 4429 => true,
        _ => false,
    }
}

impl BinaryState {
    fn receive_event(
        &mut self,
        event: WsEvent,
        now: Instant,
        wakers: &mut Vec<Waker>,
    ) -> Option<SocketEnd> {
        match event {
            WsEvent::Message(message) if !message.text => {
                self.receive_message(message.data.freeze(), now, wakers)
            }
            WsEvent::Message(_) => Some(self.violation(
                CloseCode::Unsupported,
                "a text message came on a binary session",
            )),
            WsEvent::TooLong(_) => {
                Some(self.violation(CloseCode::TooBig, "a message is longer than 64 KiB"))
            }
            WsEvent::Ping(payload) => {
                self.core.socket.queue_pong(payload);
                None
            }
            WsEvent::Pong(_) => None,
            WsEvent::Close(code, reason) => {
                let why = format!("it closed with {code} {reason}");
                if ends_session(code, self.core.leaving) {
                    self.core.socket.close(CloseCode::Normal, "");
                    return Some(SocketEnd::SessionOver(why));
                }
                // Not 1000, which would end the session.
                self.core.socket.close(CloseCode::GoingAway, "");
                Some(SocketEnd::Lost(why))
            }
        }
    }

    fn receive_message(
        &mut self,
        mut message: Bytes,
        now: Instant,
        wakers: &mut Vec<Waker>,
    ) -> Option<SocketEnd> {
        let violation = loop {
            let frame = match decode(&mut message) {
                Ok(Some(frame)) => frame,
                Ok(None) => return None,
                Err(malformed) => break Violation::from(malformed),
            };
            match self.machine.receive(frame, now) {
                Ok(None) => {}
                Ok(Some(event)) => {
                    if let Some(end) = self.apply(event, wakers) {
                        return Some(end);
                    }
                }
                Err(violation) => break violation,
            }
        };
        Some(self.violation(CloseCode::Private(violation.code()), violation.reason()))
    }

    fn violation(&mut self, code: CloseCode, reason: &str) -> SocketEnd {
        self.core.socket.close(code, reason);
        SocketEnd::SessionOver(format!("it broke the protocol: {reason}"))
    }

    /// Applies an event of the machine to the stream that it is about, or to the session.
    fn apply(&mut self, event: Event, wakers: &mut Vec<Waker>) -> Option<SocketEnd> {
        let (id, end) = match event {
            Event::Hello(hello) => return self.receive_hello(&hello),
            Event::GoingAway(going) => {
                self.relay_leaves(going.last, wakers);
                return None;
            }
            Event::Stopped { stream } => {
                let slot = self.open_slot(stream);
                wakers.extend(slot.and_then(|slot| slot.uploader.take()));
                return None;
            }
            // Only the machine of a relay reports opened streams.
            Event::Opened { .. } => return None,
            Event::Head { stream, head, end } => {
                if let Some(slot) = self.open_slot(stream) {
                    slot.head = Some(head);
                    slot.answered = true;
                }
                (stream, end.then_some(Ok(None)))
            }
            Event::Data { stream, bytes, end } => {
                match self.open_slot(stream) {
                    Some(slot) => slot.pieces.push(bytes),
                    None => self.machine.consumed(stream, bytes.len() as u64),
                }
                (stream, end.then_some(Ok(None)))
            }
            Event::Trailers { stream, trailers } => (stream, Some(Ok(Some(trailers)))),
            Event::Reset { stream, reset } => {
                if let Some(slot) = self.open_slot(stream) {
                    // The machine has counted the unread bytes as read.
                    slot.pieces = Default::default();
                }
                let failure = Failure::Failed(Error::of_relay(reset.error()));
                (stream, Some(Err(failure)))
            }
        };
        (self.core.useful, self.redials) = (true, 0);
        if end.is_some() {
            self.cancel_limit.give_back();
        }
        if let Some(slot) = self.open_slot(id) {
            wakers.extend(slot.reader.take());
            if end.is_some() {
                slot.end = end;
                wakers.extend(slot.uploader.take());
            }
        }
        None
    }

    /// Handles the relay's first message on a socket.
    fn receive_hello(&mut self, hello: &Hello) -> Option<SocketEnd> {
        self.core.socket.note_greeting();
        if let Some(within) = hello.resume_within {
            self.kept_for = Duration::from_millis(within);
        }
        if self.core.parked && hello.received.is_none() {
            // The relay began a new session. The client begins one of its own on the next socket, with
            // its own windows.
            self.core.socket.close(CloseCode::Normal, "");
            let why = hello.refused.as_deref().unwrap_or("it did not say why");
            return Some(SocketEnd::SessionOver(format!(
                "it does not have the session any more: {why}"
            )));
        }
        self.core.parked = false;
        self.lost_at = None;
        None
    }

    /// Handles the relay's announcement that it leaves. Streams after `last` were not processed, and the
    /// machine has ended them: their fetches may be sent to another relay.
    fn relay_leaves(&mut self, last: u64, wakers: &mut Vec<Waker>) {
        self.core.leaving = true;
        let why: Arc<str> = "it leaves".into();
        let slots = self.slots.iter_mut();
        for (_, slot) in slots.filter(|(id, slot)| **id > last && slot.end.is_none()) {
            slot.end = Some(Err(Failure::Lost {
                sent: slot.answered,
                why: Arc::clone(&why),
            }));
            slot.take_wakers(wakers);
        }
    }
}
