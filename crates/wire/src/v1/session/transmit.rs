//! Outbound frames: first those lost with the previous socket, then those that end streams, then each
//! stream in its turn.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::room::QUEUE;
use super::stream::{Half, Item, Stream};
use super::{Session, Side};
use crate::v1::MAX_MESSAGE;
use crate::v1::frame::{Frame, MAX_PIECE, Part};

/// Memory that a kept frame counts beside its bytes.
const FRAME_WEIGHT: u64 = 64;

/// Maximum number of bytes by which [`Session::transmit`] exceeds its target: a frame of 16 KiB and an
/// ACK.
pub const OVERSHOOT: usize = (16 << 10) + 16;

/// Target for [`Session::transmit`]: with [`OVERSHOOT`], a message still has at most [`MAX_MESSAGE`]
/// bytes.
pub const FILL: usize = MAX_MESSAGE - OVERSHOOT;

impl Session {
    /// Returns true if [`Session::transmit`] would write a frame.
    #[must_use]
    pub fn wants_transmit(&self, now: Instant) -> bool {
        let out = &self.out;
        if self.hello.pending.is_some() || self.hello.suspended {
            return self.hello.pending.is_some();
        }
        out.ping.is_some()
            || out.pong.is_some()
            || self.goaway_pending
            || !out.limits.is_empty()
            || self.in_.due.is_some_and(|due| due <= now)
            || out.transmitted < out.unacked.len()
            || self.can_send()
    }

    /// Returns true if a new sequenced frame may be sent. Frames that end a stream do not need the
    /// peer's credit.
    fn can_send(&self) -> bool {
        let out = &self.out;
        out.unacked_bytes < self.config.unacked
            && (!out.urgent.is_empty() || !out.ready.is_empty() && out.sent < out.limit)
    }

    /// Appends whole frames to `out` until it holds `most` bytes or nothing more may be sent. The last
    /// frame and an ACK may exceed `most` (by at most [`OVERSHOOT`]). The frames must be sent in this
    /// order, on the current socket.
    pub fn transmit(&mut self, now: Instant, out: &mut BytesMut, most: usize) {
        if let Some(hello) = self.hello.pending.take() {
            Frame::Hello(hello).put(out);
        }
        if self.hello.suspended {
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
        if std::mem::take(&mut self.goaway_pending)
            && let Some(going) = &self.going_away
        {
            Frame::GoingAway(going.clone()).put(out);
        }
        while out.len() < most && self.out.transmitted < self.out.unacked.len() {
            self.out.unacked[self.out.transmitted].put(out);
            self.out.transmitted += 1;
        }
        while out.len() < most && self.out.transmitted == self.out.unacked.len() && self.can_send()
        {
            if let Some(id) = self.out.urgent.pop_front() {
                self.transmit_urgent(id, out);
            } else if let Some(id) = self.out.ready.pop_front() {
                self.transmit_one(id, out);
            }
        }
        // An acknowledgement is sent together with other frames, or when it is due.
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
                self.in_.limit_queued = false;
                self.in_.allowed = self.in_.consumed + self.config.session_window;
                let bytes = self.in_.allowed;
                Frame::Limit { stream: 0, bytes }.put(out);
            } else if let Some(stream) = self.streams.get_mut(&id) {
                stream.limit_queued = false;
                if stream.receive.half != Half::Ended && !stream.receive.stopped {
                    stream.receive.allowed = stream.receive.consumed + self.config.stream_window;
                    let bytes = stream.receive.allowed;
                    Frame::Limit { stream: id, bytes }.put(out);
                }
            }
        }
    }

    /// Writes a stream's RESET or STOP.
    fn transmit_urgent(&mut self, id: u64, out: &mut BytesMut) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if let Some(reset) = stream.send.reset.take() {
            self.end_served(id);
            self.keep(Frame::Reset { stream: id, reset }, out);
        } else if stream.send.stop && !stream.is_within_block() {
            stream.send.stop = false;
            self.keep(Frame::Stop { stream: id }, out);
        }
    }

    /// Writes one frame of the stream whose turn it is.
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
        // When the relay's half ends, the stream ends. When the client's half ends, only that half
        // does.
        let ended = stream.send.half == Half::Ended && stream.send.items.is_empty();
        if ended && self.side == Side::Relay {
            self.end_served(id);
        } else {
            stream.reschedule(id, frame.weight() as usize, &mut self.out.ready);
        }
        self.keep(frame, out);
    }

    /// Ends a stream from our side, as opposed to a cancel by the peer.
    fn end_served(&mut self, id: u64) {
        self.cancels.give_back();
        self.end_stream(id);
    }

    fn keep(&mut self, frame: Frame, out: &mut BytesMut) {
        frame.put(out);
        self.out.unacked_bytes += kept(&frame);
        self.out.unacked.push_back(frame);
        self.out.transmitted = self.out.unacked.len();
    }

    /// Drops the frames that the peer has acknowledged: it has received `count` sequenced frames.
    pub(super) fn acknowledged(&mut self, count: u64) -> Result<(), super::Violation> {
        let sent = self.out.acked + self.out.transmitted as u64;
        if count > sent {
            return Err(super::Violation::Malformed(
                "an ACK is ahead of what was sent",
            ));
        }
        while self.out.acked < count {
            if let Some(frame) = self.out.unacked.pop_front() {
                self.out.unacked_bytes -= kept(&frame);
            }
            self.out.acked += 1;
            self.out.transmitted -= 1;
        }
        self.wake_waiting();
        Ok(())
    }
}

/// Returns the bytes that a kept frame counts towards [`Config::unacked`](super::Config::unacked).
fn kept(frame: &Frame) -> u64 {
    let texts = match frame {
        Frame::Reset { reset, .. } => reset.tag.len() + reset.name.len() + reset.detail.len(),
        _ => 0,
    };
    frame.weight() + texts as u64 + FRAME_WEIGHT
}

/// Returns the next frame of a stream, with at most `session` bytes that count against the session's
/// limit.
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
