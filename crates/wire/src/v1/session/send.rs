//! What the application has to send, put in its streams' queues.

use bytes::{Bytes, BytesMut};
use fetchway_policy::{ErrorName, FetchError};
use http::HeaderMap;

use super::stream::{Half, Item, Stream};
use super::{Gone, Session, Side};
use crate::v1::block::{RequestHead, ResponseHead, fits, put_trailers};
use crate::v1::frame::{MAX_TAG, Part, Reset};

/// Room for a block at first: most fit, so that none grows piece by piece.
const BLOCK: usize = 256;

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
        let mut block = BytesMut::with_capacity(BLOCK);
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
        let mut block = BytesMut::with_capacity(BLOCK);
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
        let mut block = BytesMut::with_capacity(BLOCK);
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
        self.in_.unfinished -= usize::from(stream.receive.block.take().is_some());
        stream.send.reset = Some(reset);
        self.wake.extend(stream.send.waker.take());
        self.discard_unread(id);
        if unsent {
            // The relay has never heard of it. Its number is skipped.
            self.over(id);
        } else {
            self.out.urgent.push_back(id);
            self.make_room();
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
