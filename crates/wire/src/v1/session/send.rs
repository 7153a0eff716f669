//! The way out: what the application gives, and the frames that `transmit` makes of it.

use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use fetchway_policy::{ErrorName, FetchError};
use http::HeaderMap;

use super::stream::{Half, Item, Stream};
use super::{CANCELS, Gone, Session, Side};
use crate::v1::MAX_MESSAGE;
use crate::v1::block::{RequestHead, ResponseHead, fits, put_trailers};
use crate::v1::frame::{Frame, MAX_PIECE, MAX_TAG, Part, Reset};

/// Bytes that a stream may hold unsent before it has no room for more.
const QUEUE: usize = 32 << 10;

/// What a frame that is kept weighs beside its bytes.
const FRAME_WEIGHT: u64 = 64;

/// The most by which [`Session::transmit`] passes what it was told to fill: a frame of 16 KiB and an
/// ACK.
pub const PASSES: usize = (16 << 10) + 16;

/// What [`Session::transmit`] is to fill a message to: with what it may pass that by, it is still one
/// that may be sent.
pub const FILL: usize = MAX_MESSAGE - PASSES;

impl Session {
    /// Whether a client may open one more stream.
    #[must_use]
    pub fn can_open(&self) -> bool {
        self.peer_going.is_none() && self.open < self.allowed
    }

    /// Opens a stream for a fetch; `end` if it has no body. `None` where [`Session::can_open`] says no,
    /// or [`RequestHead::check`] does.
    pub fn open(&mut self, head: &RequestHead, end: bool) -> Option<u64> {
        if self.side != Side::Client || !self.can_open() || head.tag.len() > MAX_TAG {
            return None;
        }
        let mut block = BytesMut::new();
        head.put(&mut block);
        fits(&block, &head.fields).ok()?;
        self.last += 1;
        let mut stream = Stream::new(self.peer_stream_window, self.config.stream_window);
        push_block(&mut stream, Part::Open, end, block.freeze());
        stream.schedule(self.last, &mut self.out.ready);
        self.out.waiting += stream.waiting();
        self.streams.insert(self.last, stream);
        self.open += 1;
        Some(self.last)
    }

    /// Answers a stream; `end` if there is no body. A head that is too long for a block resets it with
    /// `http_response_header_section_size`.
    ///
    /// # Errors
    /// [`Gone`] if the stream has ended, by this too, or has been answered.
    pub fn respond(&mut self, id: u64, head: &ResponseHead, end: bool) -> Result<(), Gone> {
        let mut block = BytesMut::new();
        head.put(&mut block);
        if let Err(unfit) = fits(&block, &head.fields) {
            let name = ErrorName::HttpResponseHeaderSectionSize;
            let reset = Reset::new(head.tag.clone(), &FetchError::new(name, unfit.0));
            self.give(id, Half::Head, |_| {})?;
            self.reset(id, reset)?;
            return Err(Gone);
        }
        self.give(id, Half::Head, |stream| {
            push_block(stream, Part::Head, end, block.freeze());
        })
    }

    /// Adds a piece to the body on its way out. There should be [`Session::poll_room`] first.
    ///
    /// # Errors
    /// [`Gone`] if the stream has ended, or its peer wants no more.
    pub fn data(&mut self, id: u64, bytes: Bytes) -> Result<(), Gone> {
        self.give(id, Half::Body, |stream| {
            if !bytes.is_empty() {
                stream.send.queued += bytes.len();
                stream.send.items.push_back(Item::Data(bytes));
            }
        })
    }

    /// Ends the body on its way out.
    ///
    /// # Errors
    /// [`Gone`] if the stream has ended, or its peer wants no more.
    pub fn end(&mut self, id: u64) -> Result<(), Gone> {
        self.give(id, Half::Body, |stream| {
            stream.send.items.push_back(Item::End);
            stream.send.half = Half::Ended;
        })
    }

    /// Ends the body on its way out with fields. Those that are too long for a block are left out: the
    /// body is complete without them.
    ///
    /// # Errors
    /// [`Gone`] if the stream has ended, or its peer wants no more.
    pub fn trailers(&mut self, id: u64, trailers: &HeaderMap) -> Result<(), Gone> {
        let mut block = BytesMut::new();
        put_trailers(&mut block, trailers);
        if fits(&block, trailers).is_err() {
            return self.end(id);
        }
        self.give(id, Half::Body, |stream| {
            push_block(stream, Part::Trailers, true, block.freeze());
        })
    }

    /// Tells a client that the rest of its body is not wanted.
    ///
    /// # Errors
    /// [`Gone`] if the stream or that body has ended.
    pub fn stop(&mut self, id: u64) -> Result<(), Gone> {
        let stream = self.streams.get_mut(&id).ok_or(Gone)?;
        let taken = stream.receive.half != Half::Ended && !stream.receive.stopped;
        if self.side == Side::Client || stream.over || !taken {
            return Err(Gone);
        }
        stream.receive.stopped = true;
        stream.send.stop = true;
        self.out.urgent.push_back(id);
        self.discard_unread(id);
        Ok(())
    }

    /// Ends the stream at once, both ways. What waited to be sent on it is dropped, and what was
    /// received and not consumed counts as consumed: also if the stream has ended.
    ///
    /// # Errors
    /// [`Gone`] if it has ended.
    pub fn reset(&mut self, id: u64, reset: Reset) -> Result<(), Gone> {
        let stream = self.streams.get_mut(&id).ok_or(Gone)?;
        if stream.over || stream.send.reset.is_some() {
            self.discard_unread(id);
            return Err(Gone);
        }
        let unsent = stream.is_unsent();
        self.out.waiting -= stream.waiting();
        stream.clear();
        stream.receive.half = Half::Ended;
        stream.send.reset = Some(reset);
        self.wake.extend(stream.send.waker.take());
        self.discard_unread(id);
        if unsent {
            // The relay has never heard of it. Its number is skipped.
            self.over(id);
        } else {
            self.out.urgent.push_back(id);
        }
        Ok(())
    }

    fn give(&mut self, id: u64, at: Half, give: impl FnOnce(&mut Stream)) -> Result<(), Gone> {
        let stream = self.streams.get_mut(&id).ok_or(Gone)?;
        if stream.send.half != at {
            return Err(Gone);
        }
        let before = stream.waiting();
        give(stream);
        stream.schedule(id, &mut self.out.ready);
        self.out.waiting = self.out.waiting + stream.waiting() - before;
        Ok(())
    }

    /// Whether what is held for the way out leaves room for more: see
    /// [`Config::held`](super::Config::held).
    fn has_space(&self) -> bool {
        self.held() < self.config.held
    }

    /// Wakes as many of those that wait for room in the session as there is room for.
    pub(super) fn make_room(&mut self) {
        let mut given = 0;
        while self.held() + given < self.config.held
            && let Some(id) = self.out.crowded.pop_front()
        {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.send.crowded = false;
                if let Some(waker) = stream.send.waker.take() {
                    self.wake.push(waker);
                    given += QUEUE as u64;
                }
            }
        }
    }

    /// Ready when the stream can take its head, or another piece of its body.
    ///
    /// # Errors
    /// [`Gone`] if the stream has ended, or its peer wants no more.
    pub fn poll_room(&mut self, id: u64, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let space = self.has_space();
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(Gone));
        };
        if stream.send.half == Half::Ended {
            return Poll::Ready(Err(Gone));
        }
        if space && stream.send.queued < QUEUE {
            return Poll::Ready(Ok(()));
        }
        if !space && !stream.send.crowded {
            stream.send.crowded = true;
            self.out.crowded.push_back(id);
        }
        match &mut stream.send.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

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
        if stream.send.queued < QUEUE / 2 {
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
            stream.schedule(id, &mut self.out.ready);
        }
        self.keep(frame, out);
    }

    /// A stream has ended from our side, not by the peer's cancel.
    fn served(&mut self, id: u64) {
        self.cancels.left = (self.cancels.left + 1).min(CANCELS);
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

/// Puts a block in the stream's queue; after it comes data, or nothing.
fn push_block(stream: &mut Stream, part: Part, end: bool, block: Bytes) {
    stream.send.blocks += block.len();
    stream
        .send
        .items
        .push_back(Item::Block { part, end, block });
    stream.send.half = if end { Half::Ended } else { Half::Body };
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
