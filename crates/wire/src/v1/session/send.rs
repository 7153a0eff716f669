//! Outbound data of the application, put into the queues of its streams.

use bytes::{Bytes, BytesMut};
use fetchway_policy::{ErrorName, FetchError};
use http::HeaderMap;

use super::stream::{Half, Item, Stream};
use super::{Gone, Session, Side};
use crate::v1::block::{RequestHead, ResponseHead, fits, put_trailers};
use crate::v1::frame::{MAX_TAG, Part, Reset};

/// Initial capacity of a block's buffer in bytes. Most blocks fit, so few buffers have to grow.
const BLOCK: usize = 256;

impl Session {
    /// Returns true if a client may open another stream.
    #[must_use]
    pub fn can_open(&self) -> bool {
        self.peer_goaway.is_none() && self.open < self.allowed
    }

    /// Opens a stream for a fetch; `end` means that there is no body. Returns `None` if
    /// [`Session::can_open`] is false or [`RequestHead::check`] fails.
    pub fn open(&mut self, head: &RequestHead, end: bool) -> Option<u64> {
        if self.side != Side::Client || !self.can_open() || head.tag.len() > MAX_TAG {
            return None;
        }
        let mut block = BytesMut::with_capacity(BLOCK);
        head.put(&mut block);
        fits(&block, &head.request.headers).ok()?;
        self.last += 1;
        let mut stream = Stream::new(self.peer_stream_window, self.config.stream_window);
        push_block(&mut stream, Part::Open, end, block.freeze());
        stream.schedule(self.last, &mut self.out.ready);
        self.out.waiting += stream.waiting();
        self.streams.insert(self.last, stream);
        self.open += 1;
        Some(self.last)
    }

    /// Sends the head of a response; `end` means that there is no body. If the head is too long for a
    /// block, the stream is reset with `http_response_header_section_size`.
    ///
    /// # Errors
    /// [`Gone`] if the stream has ended (also through this call), or already has a response.
    pub fn respond(&mut self, id: u64, head: &ResponseHead, end: bool) -> Result<(), Gone> {
        let mut block = BytesMut::with_capacity(BLOCK);
        head.put(&mut block);
        if let Err(unfit) = fits(&block, &head.fields) {
            let name = ErrorName::HttpResponseHeaderSectionSize;
            let reset = Reset::new(head.tag.clone(), &FetchError::new(name, unfit.0));
            self.enqueue(id, Half::Head, |_| {})?;
            self.reset(id, reset)?;
            return Err(Gone);
        }
        self.enqueue(id, Half::Head, |stream| {
            push_block(stream, Part::Head, end, block.freeze());
        })
    }

    /// Adds a piece to the outbound body. Call [`Session::poll_room`] first.
    ///
    /// # Errors
    /// [`Gone`] if the stream has ended, or the peer has stopped the body.
    pub fn data(&mut self, id: u64, bytes: Bytes) -> Result<(), Gone> {
        self.enqueue(id, Half::Body, |stream| {
            if !bytes.is_empty() {
                stream.send.queued += bytes.len();
                stream.send.items.push_back(Item::Data(bytes));
            }
        })
    }

    /// Ends the outbound body.
    ///
    /// # Errors
    /// [`Gone`] if the stream has ended, or the peer has stopped the body.
    pub fn end(&mut self, id: u64) -> Result<(), Gone> {
        self.enqueue(id, Half::Body, |stream| {
            stream.send.items.push_back(Item::End);
            stream.send.half = Half::Ended;
        })
    }

    /// Ends the outbound body with trailers. Trailers that are too long for a block are left out,
    /// because the body is complete without them.
    ///
    /// # Errors
    /// [`Gone`] if the stream has ended, or the peer has stopped the body.
    pub fn trailers(&mut self, id: u64, trailers: &HeaderMap) -> Result<(), Gone> {
        let mut block = BytesMut::with_capacity(BLOCK);
        put_trailers(&mut block, trailers);
        if fits(&block, trailers).is_err() {
            return self.end(id);
        }
        self.enqueue(id, Half::Body, |stream| {
            push_block(stream, Part::Trailers, true, block.freeze());
        })
    }

    /// Tells a client that the remainder of its body is not wanted.
    ///
    /// # Errors
    /// [`Gone`] if the stream or the client's body has ended.
    pub fn stop(&mut self, id: u64) -> Result<(), Gone> {
        let stream = self.streams.get_mut(&id).ok_or(Gone)?;
        let taken = stream.receive.half != Half::Ended && !stream.receive.stopped;
        if self.side == Side::Client || stream.ended || !taken {
            return Err(Gone);
        }
        stream.receive.stopped = true;
        stream.send.stop = true;
        self.out.urgent.push_back(id);
        self.discard_unread(id);
        Ok(())
    }

    /// Ends the stream at once, in both directions. Data that waits to be sent is dropped. Data that
    /// was received counts as consumed, even if the stream has already ended.
    ///
    /// # Errors
    /// [`Gone`] if the stream has ended.
    pub fn reset(&mut self, id: u64, reset: Reset) -> Result<(), Gone> {
        let stream = self.streams.get_mut(&id).ok_or(Gone)?;
        if stream.ended || stream.send.reset.is_some() {
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
            // The relay does not know the stream. Its number is skipped.
            self.end_stream(id);
        } else {
            self.out.urgent.push_back(id);
            self.wake_waiting();
        }
        Ok(())
    }

    fn enqueue(&mut self, id: u64, at: Half, add: impl FnOnce(&mut Stream)) -> Result<(), Gone> {
        let stream = self.streams.get_mut(&id).ok_or(Gone)?;
        if stream.send.half != at {
            return Err(Gone);
        }
        let before = stream.waiting();
        add(stream);
        stream.schedule(id, &mut self.out.ready);
        self.out.waiting = self.out.waiting + stream.waiting() - before;
        Ok(())
    }
}

/// Appends a block to the stream's queue; data follows unless `end` is set.
fn push_block(stream: &mut Stream, part: Part, end: bool, block: Bytes) {
    stream.send.blocks += block.len();
    stream
        .send
        .items
        .push_back(Item::Block { part, end, block });
    stream.send.half = if end { Half::Ended } else { Half::Body };
}
