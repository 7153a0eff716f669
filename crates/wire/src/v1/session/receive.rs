//! The way in: what each frame means, and what it may not do.

use std::time::Instant;

use bytes::Bytes;

use super::pieces::Piece;
use super::stream::{Half, Stream};
use super::{Breach, Event, Session, Side};
use crate::v1::frame::{Frame, Hello, Reset};

impl Session {
    /// Takes a frame that came on the socket at hand.
    ///
    /// # Errors
    /// A [`Breach`]: the session is over.
    pub fn receive(&mut self, frame: Frame, now: Instant) -> Result<Option<Event>, Breach> {
        if !self.hello.heard && !matches!(frame, Frame::Hello(_)) {
            return Err(Breach::Malformed("the first frame is no HELLO"));
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
                self.block(stream, piece)
            }
            Frame::Data { stream, end, bytes } => self.data_came(stream, end, bytes),
            Frame::Reset { stream, reset } => self.reset_came(stream, reset, now),
            Frame::Stop { stream } => self.stop_came(stream),
            Frame::Hello(hello) => self.hello_came(hello),
            Frame::Ack(count) => self.acknowledged(count).map(|()| None),
            Frame::Limit { stream, bytes } => self.limit_came(stream, bytes).map(|()| None),
            Frame::Ping(payload) => {
                // Of those that came faster than they could be answered, only the last one is.
                self.out.pong = Some(payload);
                Ok(None)
            }
            Frame::Pong(_) | Frame::Unknown { .. } => Ok(None),
            Frame::GoingAway(_) if self.side == Side::Relay => {
                Err(Breach::Malformed("only a relay goes away"))
            }
            Frame::GoingAway(going) => {
                self.going_came(going.last);
                Ok(Some(Event::GoingAway(going)))
            }
        }
    }

    /// The relay looks at no stream after `last`: those of ours that are later are over.
    fn going_came(&mut self, last: u64) {
        let last = self.peer_going.map_or(last, |before| before.min(last));
        self.peer_going = Some(last);
        let unseen = self.streams.iter();
        let mut unseen: Vec<u64> = unseen
            .filter(|(id, stream)| **id > last && !stream.over)
            .map(|(id, _)| *id)
            .collect();
        unseen.sort_unstable();
        for id in unseen {
            self.over(id);
        }
    }

    fn hello_came(&mut self, hello: Hello) -> Result<Option<Event>, Breach> {
        if std::mem::replace(&mut self.hello.heard, true) || self.side == Side::Relay {
            return Err(Breach::Malformed("a second HELLO came on one socket"));
        }
        if self.hello.waits {
            let Some(received) = hello.received else {
                // The session is not there any more: a new one has begun, and this one is over.
                return Ok(Some(Event::Hello(hello)));
            };
            if received < self.out.acked {
                return Err(Breach::Malformed(
                    "a HELLO takes back what was acknowledged",
                ));
            }
            self.hello.waits = false;
            self.go_on_from(received)?;
        } else if hello.received.is_some() {
            return Err(Breach::Malformed(
                "a session was resumed that was not asked for",
            ));
        } else {
            self.take_windows(&hello);
        }
        self.hello.token = hello.token;
        Ok(Some(Event::Hello(hello)))
    }

    /// The stream of a frame, if it is open. One that has ended here may still get frames that were
    /// under way, which mean nothing any more.
    pub(super) fn known(&mut self, id: u64) -> Result<Option<&mut Stream>, Breach> {
        if id > self.last {
            return Err(Breach::Malformed(
                "a frame is for a stream that was never opened",
            ));
        }
        let stream = self.streams.get_mut(&id);
        Ok(stream.filter(|stream| !stream.over && stream.send.reset.is_none()))
    }

    fn data_came(&mut self, id: u64, end: bool, bytes: Bytes) -> Result<Option<Event>, Breach> {
        let weight = bytes.len() as u64;
        let Some(stream) = self.known(id)? else {
            self.consume_session(weight);
            return Ok(None);
        };
        let receive = &mut stream.receive;
        if receive.block.is_some() || receive.half != Half::Body {
            return Err(Breach::Malformed("data came where a stream has none"));
        }
        receive.received += weight;
        if receive.received > receive.allowed {
            return Err(Breach::Credit(
                "more bytes came than a stream's limit allows",
            ));
        }
        if end {
            receive.half = Half::Ended;
        }
        if receive.stopped {
            self.consumed(id, weight);
            return Ok(self.after(id, None));
        }
        // Credit does not bound empty pieces, so they must not queue up at the application.
        let event = (end || !bytes.is_empty()).then_some(Event::Data {
            stream: id,
            bytes,
            end,
        });
        Ok(self.after(id, event))
    }

    fn reset_came(&mut self, id: u64, reset: Reset, now: Instant) -> Result<Option<Event>, Breach> {
        if self.side == Side::Relay {
            self.cancels.take(now)?;
        }
        let side = self.side;
        let crossed = self
            .streams
            .get(&id)
            .is_some_and(|stream| stream.send.reset.is_some());
        if crossed {
            // Ours has yet to go, and need not: the peer has done with the stream, and counts on its
            // place.
            self.over(id);
            return Ok(None);
        }
        let Some(stream) = self.known(id)? else {
            return Ok(None);
        };
        // A fetch that was cancelled within its OPEN has never been told of.
        let told = side == Side::Client || stream.receive.half != Half::Head;
        self.discard_unread(id);
        self.over(id);
        Ok(told.then_some(Event::Reset { stream: id, reset }))
    }

    fn stop_came(&mut self, id: u64) -> Result<Option<Event>, Breach> {
        if self.side == Side::Relay {
            return Err(Breach::Malformed("a client resets a stream, it stops none"));
        }
        let Some(stream) = self.known(id)? else {
            return Ok(None);
        };
        if stream.receive.block.is_some() {
            return Err(Breach::Malformed("a frame came within a block"));
        }
        if stream.send.half == Half::Ended && stream.send.items.is_empty() {
            return Ok(None);
        }
        // A block that is on its way is finished.
        let before = stream.waiting();
        stream.clear_data();
        let (after, waker) = (stream.waiting(), stream.send.waker.take());
        self.out.waiting = self.out.waiting + after - before;
        self.wake.extend(waker);
        self.make_room();
        Ok(Some(Event::Stopped { stream: id }))
    }

    fn limit_came(&mut self, id: u64, bytes: u64) -> Result<(), Breach> {
        if id == 0 {
            self.out.limit = self.out.limit.max(bytes);
        } else if id > self.last {
            return Err(Breach::Malformed(
                "a LIMIT is for a stream that was never opened",
            ));
        } else if let Some(stream) = self.streams.get_mut(&id) {
            stream.send.limit = stream.send.limit.max(bytes);
            stream.schedule(id, &mut self.out.ready);
        }
        Ok(())
    }

    /// What is to be done with a client's stream when the relay's half of it has ended.
    pub(super) fn after(&mut self, id: u64, event: Option<Event>) -> Option<Event> {
        let ended = self
            .streams
            .get(&id)
            .is_some_and(|stream| stream.receive.half == Half::Ended && !stream.over);
        if self.side == Side::Client && ended {
            self.over(id);
        }
        event
    }

    /// A stream has ended. What a client has not read of it stays counted until it has.
    pub(super) fn over(&mut self, id: u64) {
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
        stream.over = true;
        if stream.unread() == 0 {
            self.streams.remove(&id);
        }
        self.make_room();
        self.tidy();
    }

    /// Takes ended streams out of the queues, when there are many: a peer that opens and cancels while
    /// it lets nothing be sent would else fill them.
    fn tidy(&mut self) {
        let streams = &self.streams;
        let out = &mut self.out;
        let crowded = &mut out.crowded;
        for queue in [&mut out.urgent, &mut out.ready, &mut out.limits, crowded] {
            if queue.len() > 64 + 2 * streams.len() {
                queue.retain(|id| *id == 0 || streams.contains_key(id));
            }
        }
    }
}
