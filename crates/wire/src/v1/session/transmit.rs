//! The frames that go out: what was said already and is lost, what ends streams, and then each stream in
//! its turn.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::room::QUEUE;
use super::stream::{Half, Item, Stream};
use super::{Session, Side};
use crate::v1::MAX_MESSAGE;
use crate::v1::frame::{Frame, MAX_PIECE, Part};

/// What a frame that is kept weighs beside its bytes.
const FRAME_WEIGHT: u64 = 64;

/// The most by which [`Session::transmit`] passes what it was told to fill: a frame of 16 KiB and an
/// ACK.
pub const PASSES: usize = (16 << 10) + 16;

/// What [`Session::transmit`] is to fill a message to: with what it may pass that by, it is still one
/// that may be sent.
pub const FILL: usize = MAX_MESSAGE - PASSES;

impl Session {
    /// Whether [`Session::transmit`] would give anything.
    #[must_use]
    pub fn wants_transmit(&self, now: Instant) -> bool {
        let out = &self.out;
        if self.hello.pending.is_some() || self.hello.waits {
            return self.hello.pending.is_some();
        }
        out.ping.is_some()
            || out.pong.is_some()
            || self.going_untold
            || !out.limits.is_empty()
            || self.in_.due.is_some_and(|due| due <= now)
            || out.again < out.unacked.len()
            || self.can_send()
    }

    /// Whether anything new may go out. What ends a stream needs no leave of the peer's.
    fn can_send(&self) -> bool {
        let out = &self.out;
        out.unacked_bytes < self.config.unacked
            && (!out.urgent.is_empty() || !out.ready.is_empty() && out.sent < out.limit)
    }

    /// Appends frames to `out` until it holds `most` bytes or nothing more may go; the last frame and an
    /// ACK may pass that by their lengths ([`PASSES`] at most). Gives whole frames only, to be sent in
    /// this order on this socket.
    pub fn transmit(&mut self, now: Instant, out: &mut BytesMut, most: usize) {
        if let Some(hello) = self.hello.pending.take() {
            Frame::Hello(hello).put(out);
        }
        if self.hello.waits {
            return;
        }
        let begun = out.len();
        self.transmit_limits(out, most);
        for (pong, payload) in [(true, self.out.pong.take()), (false, self.out.ping.take())] {
            if let Some(payload) = payload {
                let frame = if pong {
                    Frame::Pong(payload)
                } else {
                    Frame::Ping(payload)
                };
                frame.put(out);
            }
        }
        if std::mem::take(&mut self.going_untold)
            && let Some(going) = &self.going_away
        {
            Frame::GoingAway(going.clone()).put(out);
        }
        while out.len() < most && self.out.again < self.out.unacked.len() {
            self.out.unacked[self.out.again].put(out);
            self.out.again += 1;
        }
        while out.len() < most && self.out.again == self.out.unacked.len() && self.can_send() {
            if let Some(id) = self.out.urgent.pop_front() {
                self.transmit_urgent(id, out);
            } else if let Some(id) = self.out.ready.pop_front() {
                self.transmit_one(id, out);
            }
        }
        // An acknowledgement travels with whatever goes, or when its time has come.
        let due = self.in_.due.is_some_and(|due| due <= now);
        if self.in_.acked < self.in_.count && (due || out.len() > begun) {
            self.in_.acked = self.in_.count;
            self.in_.acked_weight = self.in_.received;
            self.in_.due = None;
            Frame::Ack(self.in_.count).put(out);
        }
    }

    fn transmit_limits(&mut self, out: &mut BytesMut, most: usize) {
        while out.len() < most
            && let Some(id) = self.out.limits.pop_front()
        {
            if id == 0 {
                self.in_.telling = false;
                self.in_.allowed = self.in_.consumed + self.config.session_window;
                let bytes = self.in_.allowed;
                Frame::Limit { stream: 0, bytes }.put(out);
            } else if let Some(stream) = self.streams.get_mut(&id) {
                stream.telling = false;
                if stream.receive.half != Half::Ended && !stream.receive.stopped {
                    stream.receive.allowed = stream.receive.consumed + self.config.stream_window;
                    let bytes = stream.receive.allowed;
                    Frame::Limit { stream: id, bytes }.put(out);
                }
            }
        }
    }

    /// Sends a stream's RESET or STOP.
    fn transmit_urgent(&mut self, id: u64, out: &mut BytesMut) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if let Some(reset) = stream.send.reset.take() {
            self.served(id);
            self.keep(Frame::Reset { stream: id, reset }, out);
        } else if stream.send.stop && !stream.is_within_block() {
            stream.send.stop = false;
            self.keep(Frame::Stop { stream: id }, out);
        }
    }

    /// Sends one frame of the stream whose turn it is.
    fn transmit_one(&mut self, id: u64, out: &mut BytesMut) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.scheduled = false;
        let before = stream.waiting();
        let Some(frame) = next_frame(stream, id, self.out.limit - self.out.sent) else {
            return;
        };
        self.out.waiting = self.out.waiting + stream.waiting() - before;
        self.out.sent += frame.weight();
        if stream.queue() < QUEUE / 2 {
            self.wake.extend(stream.send.waker.take());
        }
        if stream.send.stop && !stream.is_within_block() {
            self.out.urgent.push_back(id);
        }
        // The relay's end is the stream's; a client's is only that of its own half.
        let ended = stream.send.half == Half::Ended && stream.send.items.is_empty();
        if ended && self.side == Side::Relay {
            self.served(id);
        } else {
            stream.go_on(id, frame.weight() as usize, &mut self.out.ready);
        }
        self.keep(frame, out);
    }

    /// A stream has ended from our side, not by the peer's cancel.
    fn served(&mut self, id: u64) {
        self.cancels.give_back();
        self.over(id);
    }

    fn keep(&mut self, frame: Frame, out: &mut BytesMut) {
        frame.put(out);
        self.out.unacked_bytes += kept(&frame);
        self.out.unacked.push_back(frame);
        self.out.again = self.out.unacked.len();
    }

    /// The peer has received `count` sequenced frames.
    pub(super) fn acknowledged(&mut self, count: u64) -> Result<(), super::Breach> {
        let sent = self.out.acked + self.out.again as u64;
        if count > sent {
            return Err(super::Breach::Malformed("an ACK is ahead of what was sent"));
        }
        while self.out.acked < count {
            if let Some(frame) = self.out.unacked.pop_front() {
                self.out.unacked_bytes -= kept(&frame);
            }
            self.out.acked += 1;
            self.out.again -= 1;
        }
        self.make_room();
        Ok(())
    }
}

/// What a frame that is kept counts towards [`Config::unacked`](super::Config::unacked).
fn kept(frame: &Frame) -> u64 {
    let texts = match frame {
        Frame::Reset { reset, .. } => reset.tag.len() + reset.name.len() + reset.detail.len(),
        _ => 0,
    };
    frame.weight() + texts as u64 + FRAME_WEIGHT
}

/// The next frame of a stream, with at most `session` bytes of weight.
fn next_frame(stream: &mut Stream, id: u64, session: u64) -> Option<Frame> {
    let send = &mut stream.send;
    let most = usize::try_from(session)
        .unwrap_or(usize::MAX)
        .min(MAX_PIECE);
    match send.items.front_mut()? {
        Item::Block { part, end, block } => {
            let piece = block.split_to(block.len().min(most));
            send.blocks -= piece.len();
            let (this, more) = (*part, !block.is_empty());
            let end = *end && this != Part::More;
            if more {
                *part = Part::More;
            } else {
                send.items.pop_front();
            }
            Some(Frame::Block {
                stream: id,
                part: this,
                end,
                more,
                block: piece,
            })
        }
        Item::Data(bytes) => {
            let own = usize::try_from(send.limit - send.sent).unwrap_or(usize::MAX);
            let piece = bytes.split_to(bytes.len().min(most).min(own));
            send.sent += piece.len() as u64;
            send.queued -= piece.len();
            if bytes.is_empty() {
                send.items.pop_front();
            }
            let end = matches!(send.items.front(), Some(Item::End));
            if end {
                send.items.pop_front();
            }
            Some(Frame::Data {
                stream: id,
                end,
                bytes: piece,
            })
        }
        Item::End => {
            send.items.pop_front();
            Some(Frame::Data {
                stream: id,
                end: true,
                bytes: Bytes::new(),
            })
        }
    }
}
