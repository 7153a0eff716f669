//! Inbound frames: their effects, and the violations that they can be.

use std::time::Instant;

use bytes::Bytes;

use super::pieces::Piece;
use super::stream::{Half, Stream};
use super::{Event, Session, Side, Violation};
use crate::v1::frame::{Frame, Hello, Reset};

impl Session {
    /// Handles a frame that was received on the current socket.
    ///
    /// # Errors
    /// Returns a [`Violation`] if the frame breaks the protocol. The session has then ended.
    pub fn receive(&mut self, frame: Frame, now: Instant) -> Result<Option<Event>, Violation> {
        if !self.hello.greeted && !matches!(frame, Frame::Hello(_)) {
            return Err(Violation::Malformed("the first frame is not HELLO"));
        }
        if frame.is_sequenced() {
            self.count(&frame, now)?;
        }
        match frame {
            Frame::Block {
                stream,
                part,
                end,
                more,
                block,
            } => {
                let piece = Piece {
                    part,
                    end,
                    more,
                    block,
                };
                self.on_block(stream, piece)
            }
            Frame::Data { stream, end, bytes } => self.on_data(stream, end, bytes),
            Frame::Reset { stream, reset } => self.on_reset(stream, reset, now),
            Frame::Stop { stream } => self.on_stop(stream),
            Frame::Hello(hello) => self.on_hello(hello),
            Frame::Ack(count) => self.acknowledged(count).map(|()| None),
            Frame::Limit { stream, bytes } => self.on_limit(stream, bytes).map(|()| None),
            Frame::Ping(payload) => {
                // If several PINGs come before one can be answered, only the last is.
                self.out.pong = Some(payload);
                Ok(None)
            }
            Frame::Pong(_) | Frame::Unknown { .. } => Ok(None),
            Frame::GoingAway(_) if self.side == Side::Relay => {
                Err(Violation::Malformed("only a relay may send GOAWAY"))
            }
            Frame::GoingAway(going) => {
                self.on_goaway(going.last);
                Ok(Some(Event::GoingAway(going)))
            }
        }
    }

    /// Ends our streams after `last`, which the relay will not serve.
    fn on_goaway(&mut self, last: u64) {
        let last = self.peer_goaway.map_or(last, |before| before.min(last));
        self.peer_goaway = Some(last);
        let unseen = self.streams.iter();
        let mut unseen: Vec<u64> = unseen
            .filter(|(id, stream)| **id > last && !stream.ended)
            .map(|(id, _)| *id)
            .collect();
        unseen.sort_unstable();
        for id in unseen {
            self.end_stream(id);
        }
    }

    fn on_hello(&mut self, hello: Hello) -> Result<Option<Event>, Violation> {
        if std::mem::replace(&mut self.hello.greeted, true) || self.side == Side::Relay {
            return Err(Violation::Malformed("a second HELLO came on one socket"));
        }
        if self.hello.suspended {
            let Some(received) = hello.received else {
                // The session no longer exists: a new one has begun, and this one has ended.
                return Ok(Some(Event::Hello(hello)));
            };
            if received < self.out.acked {
                return Err(Violation::Malformed(
                    "a HELLO counts fewer frames than were acknowledged",
                ));
            }
            self.hello.suspended = false;
            self.resend_from(received)?;
        } else if hello.received.is_some() {
            return Err(Violation::Malformed(
                "a session was resumed that was not asked for",
            ));
        } else {
            self.take_windows(&hello);
        }
        self.hello.token = hello.token;
        Ok(Some(Event::Hello(hello)))
    }

    /// Returns the stream of a frame if it is open. Frames for a stream that has ended may still
    /// arrive, and are ignored.
    pub(super) fn known(&mut self, id: u64) -> Result<Option<&mut Stream>, Violation> {
        if id > self.last {
            return Err(Violation::Malformed(
                "a frame is for a stream that was never opened",
            ));
        }
        let stream = self.streams.get_mut(&id);
        Ok(stream.filter(|stream| !stream.ended && stream.send.reset.is_none()))
    }

    fn on_data(&mut self, id: u64, end: bool, bytes: Bytes) -> Result<Option<Event>, Violation> {
        let weight = bytes.len() as u64;
        let Some(stream) = self.known(id)? else {
            self.consume_session(weight);
            return Ok(None);
        };
        let receive = &mut stream.receive;
        if receive.block.is_some() || receive.half != Half::Body {
            return Err(Violation::Malformed("data came where a stream has none"));
        }
        receive.received += weight;
        if receive.received > receive.allowed {
            return Err(Violation::Credit(
                "more bytes came than a stream's limit allows",
            ));
        }
        if end {
            receive.half = Half::Ended;
        }
        if receive.stopped {
            self.consumed(id, weight);
            return Ok(self.end_answered(id, None));
        }
        // Credit does not limit empty pieces, so they must not accumulate at the application.
        let event = (end || !bytes.is_empty()).then_some(Event::Data {
            stream: id,
            bytes,
            end,
        });
        Ok(self.end_answered(id, event))
    }

    fn on_reset(
        &mut self,
        id: u64,
        reset: Reset,
        now: Instant,
    ) -> Result<Option<Event>, Violation> {
        if self.side == Side::Relay {
            self.cancels.take(now)?;
        }
        let side = self.side;
        let crossed = self
            .streams
            .get(&id)
            .is_some_and(|stream| stream.send.reset.is_some());
        if crossed {
            // Our RESET has not been sent, and is no longer needed: the peer has ended the stream, and
            // expects that its place is free.
            self.end_stream(id);
            return Ok(None);
        }
        let Some(stream) = self.known(id)? else {
            return Ok(None);
        };
        // The application was never told of a fetch that was cancelled within its OPEN.
        let told = side == Side::Client || stream.receive.half != Half::Head;
        self.discard_unread(id);
        self.end_stream(id);
        Ok(told.then_some(Event::Reset { stream: id, reset }))
    }

    fn on_stop(&mut self, id: u64) -> Result<Option<Event>, Violation> {
        if self.side == Side::Relay {
            return Err(Violation::Malformed("a client must not send STOP"));
        }
        let Some(stream) = self.known(id)? else {
            return Ok(None);
        };
        if stream.receive.block.is_some() {
            return Err(Violation::Malformed("a frame came within a block"));
        }
        if stream.send.half == Half::Ended && stream.send.items.is_empty() {
            return Ok(None);
        }
        // A block that has begun to be sent is finished.
        let before = stream.waiting();
        stream.clear_data();
        let (after, waker) = (stream.waiting(), stream.send.waker.take());
        self.out.waiting = self.out.waiting + after - before;
        self.wake.extend(waker);
        self.wake_waiting();
        Ok(Some(Event::Stopped { stream: id }))
    }

    fn on_limit(&mut self, id: u64, bytes: u64) -> Result<(), Violation> {
        if id == 0 {
            self.out.limit = self.out.limit.max(bytes);
        } else if id > self.last {
            return Err(Violation::Malformed(
                "a LIMIT is for a stream that was never opened",
            ));
        } else if let Some(stream) = self.streams.get_mut(&id) {
            stream.send.limit = stream.send.limit.max(bytes);
            stream.schedule(id, &mut self.out.ready);
        }
        Ok(())
    }

    /// Ends a client's stream once the relay's half of it has ended, and passes `event` on.
    pub(super) fn end_answered(&mut self, id: u64, event: Option<Event>) -> Option<Event> {
        let ended = self
            .streams
            .get(&id)
            .is_some_and(|stream| stream.receive.half == Half::Ended && !stream.ended);
        if self.side == Side::Client && ended {
            self.end_stream(id);
        }
        event
    }

    /// Ends a stream. Data that a client has received and not read remains counted until it is read.
    pub(super) fn end_stream(&mut self, id: u64) {
        if self.side == Side::Relay {
            self.discard_unread(id);
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        self.wake.extend(stream.send.waker.take());
        self.open -= 1;
        if stream.receive.block.is_some() {
            stream.receive.block = None;
            self.in_.unfinished -= 1;
        }
        self.out.waiting -= stream.waiting();
        stream.clear();
        stream.ended = true;
        if stream.unread() == 0 {
            self.streams.remove(&id);
        }
        self.wake_waiting();
        self.prune_queues();
    }

    /// Removes ended streams from the queues when there are many. Otherwise a peer that opens and
    /// cancels streams while it blocks all sending could fill the queues.
    fn prune_queues(&mut self) {
        let streams = &self.streams;
        let out = &mut self.out;
        let room_queue = &mut out.room_queue;
        for queue in [&mut out.urgent, &mut out.ready, &mut out.limits, room_queue] {
            if queue.len() > 64 + 2 * streams.len() {
                queue.retain(|id| *id == 0 || streams.contains_key(id));
            }
        }
    }
}
