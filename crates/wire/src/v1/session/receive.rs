//! The way in: what each frame means, and what it may not do.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::stream::{Half, Stream};
use super::{ACK_DELAY, ACK_FRAMES, Breach, CANCEL_EVERY, CANCELS, Event, Session, Side};
use crate::v1::block::{LONG_BLOCK, MAX_BLOCK, RequestHead, ResponseHead, read_trailers};
use crate::v1::frame::{Frame, Hello, Part, Reset};

/// Bytes received that are acknowledged without delay.
const ACK_BYTES: u64 = 64 << 10;

/// A block on its way in.
struct Piece {
    part: Part,
    end: bool,
    more: bool,
    block: Bytes,
}

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
            Frame::GoingAway(going) => {
                self.going_came(going.last);
                Ok(Some(Event::GoingAway(going)))
            }
        }
    }

    /// The peer looks at no stream after `last`: those of ours that are later are over.
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

    fn count(&mut self, frame: &Frame, now: Instant) -> Result<(), Breach> {
        let in_ = &mut self.in_;
        in_.count += 1;
        in_.received += frame.weight();
        if in_.received > in_.allowed {
            return Err(Breach::Credit(
                "more bytes came than the session's limit allows",
            ));
        }
        let many = in_.count - in_.acked >= ACK_FRAMES;
        if many || in_.received - in_.acked_weight >= ACK_BYTES {
            in_.due = Some(now);
        } else if in_.due.is_none() {
            in_.due = Some(now + ACK_DELAY);
        }
        Ok(())
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
    fn known(&mut self, id: u64) -> Result<Option<&mut Stream>, Breach> {
        if id > self.last {
            return Err(Breach::Malformed(
                "a frame is for a stream that was never opened",
            ));
        }
        let stream = self.streams.get_mut(&id);
        Ok(stream.filter(|stream| !stream.over && stream.send.reset.is_none()))
    }

    fn block(&mut self, id: u64, piece: Piece) -> Result<Option<Event>, Breach> {
        let weight = piece.block.len() as u64;
        // A block is taken as it comes: it needs no room of the application's.
        self.consume_session(weight);
        if piece.part == Part::Open {
            self.open_came(id)?;
        }
        let side = self.side;
        let Some(stream) = self.known(id)? else {
            return Ok(None);
        };
        let receive = &mut stream.receive;
        let (part, end, block) = match (piece.part, receive.block.take()) {
            (Part::More, Some((part, end, mut begun))) => {
                if begun.len() + piece.block.len() > MAX_BLOCK {
                    return Err(LONG_BLOCK.into());
                }
                begun.extend_from_slice(&piece.block);
                (part, end, begun)
            }
            (Part::More, None) => return Err(Breach::Malformed("a MORE goes on with nothing")),
            (_, Some(_)) => return Err(Breach::Malformed("a frame came within a block")),
            (part, None) if piece.more => (part, piece.end, BytesMut::from(piece.block)),
            (part, None) => {
                let event = finish(side, stream, id, (part, piece.end, &piece.block))?;
                return Ok(self.after(id, event));
            }
        };
        if piece.more {
            receive.block = Some((part, end, block));
            return Ok(None);
        }
        let event = finish(side, stream, id, (part, end, &block))?;
        Ok(self.after(id, event))
    }

    fn open_came(&mut self, id: u64) -> Result<(), Breach> {
        if self.side == Side::Client {
            return Err(Breach::Malformed("a relay opens no streams"));
        }
        if id <= self.last {
            return Err(Breach::Malformed(
                "a stream was opened with a number that was used before",
            ));
        }
        if self.going_away.is_some() {
            // It was under way when we said that we leave. What belongs to it is passed over.
            self.last = id;
            return Ok(());
        }
        if self.open >= self.config.streams {
            return Err(Breach::Streams);
        }
        self.last = id;
        self.open += 1;
        let stream = Stream::new(self.peer_stream_window, self.config.stream_window);
        self.streams.insert(id, stream);
        Ok(())
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
            self.cancelled(now)?;
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

    fn cancelled(&mut self, now: Instant) -> Result<(), Breach> {
        let cancels = &mut self.cancels;
        let since = now.saturating_duration_since(*cancels.refilled.get_or_insert(now));
        let more = (since.as_nanos() / CANCEL_EVERY.as_nanos()).min(u128::from(CANCELS)) as u64;
        if more > 0 {
            cancels.left = (cancels.left + more).min(CANCELS);
            // What is left of the time counts for the next one.
            let rest = since.as_nanos() % CANCEL_EVERY.as_nanos();
            cancels.refilled = Some(now - Duration::from_nanos(rest as u64));
        }
        cancels.left = cancels.left.checked_sub(1).ok_or(Breach::Cancels)?;
        Ok(())
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
    fn after(&mut self, id: u64, event: Option<Event>) -> Option<Event> {
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

    /// The application has taken `n` bytes of a stream's data: the peer may send as many more. Those
    /// of a stream that was reset or stopped have been counted before.
    pub fn consumed(&mut self, id: u64, n: u64) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let n = n.min(stream.unread());
        stream.receive.consumed += n;
        if stream.over {
            if stream.unread() == 0 {
                self.streams.remove(&id);
            }
        } else if !stream.telling && stream.receive.half != Half::Ended && !stream.receive.stopped {
            let window = self.config.stream_window;
            if (stream.receive.consumed + window).saturating_sub(stream.receive.allowed)
                >= window / 2
            {
                stream.telling = true;
                self.out.limits.push_back(id);
            }
        }
        self.consume_session(n);
    }

    pub(super) fn discard_unread(&mut self, id: u64) {
        let unread = self.streams.get(&id).map_or(0, Stream::unread);
        if unread > 0 {
            self.consumed(id, unread);
        }
    }

    fn consume_session(&mut self, n: u64) {
        let in_ = &mut self.in_;
        in_.consumed += n;
        let window = self.config.session_window;
        if !in_.telling && (in_.consumed + window).saturating_sub(in_.allowed) >= window / 2 {
            in_.telling = true;
            self.out.limits.push_back(0);
        }
    }
}

/// A block is whole.
fn finish(
    side: Side,
    stream: &mut Stream,
    id: u64,
    (part, end, block): (Part, bool, &[u8]),
) -> Result<Option<Event>, Breach> {
    let after = if end { Half::Ended } else { Half::Body };
    let receive = &mut stream.receive;
    match (part, side, receive.half) {
        (Part::Open, Side::Relay, Half::Head) => {
            receive.half = after;
            let head = RequestHead::read(block).map(Box::new);
            Ok(Some(Event::Opened {
                stream: id,
                head,
                end,
            }))
        }
        (Part::Head, Side::Client, Half::Head) => {
            receive.half = after;
            let head = Box::new(ResponseHead::read(block)?);
            Ok(Some(Event::Head {
                stream: id,
                head,
                end,
            }))
        }
        (Part::Trailers, _, Half::Body) => {
            receive.half = Half::Ended;
            let trailers = read_trailers(block)?;
            let event = Event::Trailers {
                stream: id,
                trailers,
            };
            Ok((!receive.stopped).then_some(event))
        }
        _ => Err(Breach::Malformed(
            "a head or trailers came where a stream has none",
        )),
    }
}
