//! What a session of the binary encoding says and hears on the socket at hand.

use std::task::Waker;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::session::FILL;
use fetchway_wire::v1::{Event, Hello, MAX_MESSAGE, Violation, decode};
use fetchway_ws::{CloseCode, Event as WsEvent, MAX_HEADER, Opcode, Receiver, seal};
use tokio::io::AsyncRead;

use super::drive::{Ended, Peer, Work, failed};
use super::line::{Line, State};
use super::slot::{Failure, Slot};
use super::socket::{Liveness, Socket};
use crate::error::Error;

impl Peer for Line {
    const MAX_MESSAGE: usize = MAX_MESSAGE;

    fn take<R: AsyncRead + Unpin>(
        &self,
        first: WsEvent,
        receiver: &mut Receiver<R>,
    ) -> Option<Ended> {
        let now = Instant::now();
        let mut wake = Vec::new();
        let mut state = self.lock();
        state.socket.heard(now);
        let was_parked = state.parked;
        let mut next = Some(first);
        let mut ended = None;
        let mut broken = None;
        while let Some(event) = next.take() {
            ended = state.heard(event, now, &mut wake);
            if ended.is_some() {
                break;
            }
            match receiver.ready() {
                Ok(more) => next = more,
                Err(error) => broken = Some(error),
            }
        }
        wake.append(&mut state.session.take_wakers());
        let room = self.note(&state);
        let back = was_parked && !state.parked;
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        if back {
            self.queue.relay_changed();
        } else if room || ended.is_some() {
            self.queue.nudge();
        }
        ended.or_else(|| broken.map(|error| failed(self, &error)))
    }

    fn work(&self, waker: &Waker) -> Work {
        let now = Instant::now();
        let mut guard = self.lock();
        let state = &mut *guard;
        if !state.to_cancel.is_empty() {
            state.cancel_more(now);
        }
        let idle = state.session.open_streams() == 0;
        if idle && (state.unwanted || state.leaving) && !state.parked {
            state.socket.close(CloseCode::Normal, "");
        }
        if state.session.wants_transmit(now) || state.socket.wants(now, self.liveness) {
            return Work::Now;
        }
        state.socket.park_writer(waker);
        let mut at = state.socket.ping_at(self.liveness);
        if !state.to_cancel.is_empty() {
            at = state.ration.at().map_or(at, |next| next.min(at));
        }
        let at = state.session.deadline().map_or(at, |due| due.min(at));
        drop(guard);
        Work::At(self.queue_at(now).map_or(at, |late| late.min(at)))
    }

    fn fill(&self, out: &mut BytesMut) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        state.socket.put(now, self.liveness, out);
        let begun = out.len();
        // Frames go behind room for the header that is known only when they are there.
        out.resize(begun + MAX_HEADER, 0);
        state.session.transmit(now, out, begun + MAX_HEADER + FILL);
        let closed = state.socket.is_closing().then(|| {
            let mut close = BytesMut::new();
            state.socket.put_close(&mut close);
            close
        });
        let wake = state.session.take_wakers();
        let room = self.note(&state);
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        if room {
            self.queue.nudge();
        }
        seal(out, begun, Opcode::Binary, Some(rand::random()));
        if let Some(close) = &closed {
            out.extend_from_slice(close);
        }
        closed.is_some()
    }

    fn socket<T>(&self, act: impl FnOnce(&mut Socket) -> T) -> T {
        act(&mut self.lock().socket)
    }

    fn liveness(&self) -> Liveness {
        self.liveness
    }
}

impl Line {
    /// When whoever waits for the room that there is should have come for it.
    fn queue_at(&self, now: Instant) -> Option<Instant> {
        let room = self.has_room();
        room.then(|| self.queue.nudge_late(now)).flatten()
    }
}

/// Whether a session is over with this close code (`docs/protocol.md`): `leaving` if the relay has said
/// before that it leaves. What is not listed there, and 1001 out of the blue, was said by something in
/// between, and asking for the session tells what is true. We were silent for 4408, and for 4409
/// another socket took over: the session goes on. 1002 and 1007 are a WebSocket's own breaches.
fn is_final(code: u16, leaving: bool) -> bool {
    match code {
        1000 | 1002 | 1003 | 1007 | 1009 => true,
        1001 => leaving,
        4400 | 4401 | 4413 | 4420 | 4429 => true,
        _ => false,
    }
}

impl State {
    fn heard(&mut self, event: WsEvent, now: Instant, wake: &mut Vec<Waker>) -> Option<Ended> {
        match event {
            WsEvent::Message(message) if !message.text => {
                self.message(message.data.freeze(), now, wake)
            }
            WsEvent::Message(_) => Some(self.violation(
                CloseCode::Unsupported,
                "a text message came on a binary session",
            )),
            WsEvent::TooLong(_) => {
                Some(self.violation(CloseCode::TooBig, "a message is longer than 64 KiB"))
            }
            WsEvent::Ping(payload) => {
                self.socket.ping_came(payload);
                None
            }
            WsEvent::Pong(_) => None,
            WsEvent::Close(code, reason) => {
                let why = format!("it closed with {code} {reason}");
                if is_final(code, self.leaving) {
                    self.socket.close(CloseCode::Normal, "");
                    return Some(Ended::Over(why));
                }
                // Not 1000: that would end the session.
                self.socket.close(CloseCode::GoingAway, "");
                Some(Ended::Lost(why))
            }
        }
    }

    fn message(
        &mut self,
        mut message: Bytes,
        now: Instant,
        wake: &mut Vec<Waker>,
    ) -> Option<Ended> {
        loop {
            let frame = match decode(&mut message) {
                Ok(Some(frame)) => frame,
                Ok(None) => return None,
                Err(malformed) => {
                    let violation = Violation::from(malformed);
                    return Some(
                        self.violation(CloseCode::Private(violation.code()), violation.reason()),
                    );
                }
            };
            match self.session.receive(frame, now) {
                Ok(None) => {}
                Ok(Some(event)) => {
                    if let Some(ended) = self.happened(event, wake) {
                        return Some(ended);
                    }
                }
                Err(violation) => {
                    return Some(
                        self.violation(CloseCode::Private(violation.code()), violation.reason()),
                    );
                }
            }
        }
    }

    fn violation(&mut self, code: CloseCode, reason: &str) -> Ended {
        self.socket.close(code, reason);
        Ended::Over(format!("it broke the protocol: {reason}"))
    }

    fn happened(&mut self, event: Event, wake: &mut Vec<Waker>) -> Option<Ended> {
        let (id, end) = match event {
            Event::Hello(hello) => return self.hello(&hello),
            Event::GoingAway(going) => {
                self.going_away(going.last, wake);
                return None;
            }
            Event::Stopped { stream } => {
                let slot = self.open_slot(stream);
                wake.extend(slot.and_then(|slot| slot.uploader.take()));
                return None;
            }
            // The machine gives a client none.
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
                    None => self.session.consumed(stream, bytes.len() as u64),
                }
                (stream, end.then_some(Ok(None)))
            }
            Event::Trailers { stream, trailers } => (stream, Some(Ok(Some(trailers)))),
            Event::Reset { stream, reset } => {
                if let Some(slot) = self.open_slot(stream) {
                    // The machine has counted them as read.
                    slot.pieces = Default::default();
                }
                (
                    stream,
                    Some(Err(Failure::Failed(Error::of_relay(reset.error())))),
                )
            }
        };
        (self.useful, self.tries) = (true, 0);
        if end.is_some() {
            self.ration.give();
        }
        if let Some(slot) = self.open_slot(id) {
            wake.extend(slot.reader.take());
            if end.is_some() {
                slot.end = end;
                wake.extend(slot.uploader.take());
            }
        }
        None
    }

    /// Where a stream's events go; nowhere once it has ended here, though the relay may not know yet:
    /// how it ended stands.
    fn open_slot(&mut self, id: u64) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(&id);
        slot.filter(|slot| slot.end.is_none())
    }

    /// The relay's first word on this socket.
    fn hello(&mut self, hello: &Hello) -> Option<Ended> {
        self.socket.greeted();
        if let Some(within) = hello.resume_within {
            self.kept_for = std::time::Duration::from_millis(within);
        }
        if self.parked && hello.received.is_none() {
            // A new session has begun there. Ours begins with windows of its own, on the next socket.
            self.socket.close(CloseCode::Normal, "");
            let why = hello.refused.as_deref().unwrap_or("it did not say why");
            return Some(Ended::Over(format!(
                "it does not have the session any more: {why}"
            )));
        }
        self.parked = false;
        self.lost_at = None;
        None
    }

    /// Streams after `last` were not looked at, and the machine has ended them: whoever asked for them
    /// may ask elsewhere.
    fn going_away(&mut self, last: u64, wake: &mut Vec<Waker>) {
        self.leaving = true;
        let why: std::sync::Arc<str> = "it leaves".into();
        for (_, slot) in self
            .slots
            .iter_mut()
            .filter(|(id, slot)| **id > last && slot.end.is_none())
        {
            slot.end = Some(Err(Failure::Lost {
                sent: slot.answered,
                why: std::sync::Arc::clone(&why),
            }));
            wake.extend(slot.reader.take());
            wake.extend(slot.uploader.take());
        }
    }
}
