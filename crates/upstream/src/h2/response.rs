//! Responses as they come in: heads, data, trailers.

use fetchway_policy::ErrorName;

use super::connection::{Broken, CONNECTION_WINDOW, Connection, Event};
use super::frame::{self, Code, END_HEADERS, END_STREAM, Frame};
use super::head::{Fault, Head, Section};
use super::hpack::Undecodable;
use super::receive::{Taken, calm};
use super::stream::malformed;
use crate::Failure;

/// Frames that continue one head.
const MAX_CONTINUATIONS: u32 = 32;

/// A head of which more frames must come.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    last: bool,
    bytes: Vec<u8>,
    continuations: u32,
}

impl Connection {
    pub(super) fn data(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Taken {
        let limits = self.limits;
        let data = frame.content()?;
        let last = frame.has(END_STREAM);
        // Padding counts.
        let size = frame.payload.len() as u32;
        let stream = self.stream(frame.stream)?;
        let taken = stream.map(|stream| {
            if !stream.received(size) {
                let failure = malformed("more data than its window takes");
                return Err((Code::FLOW_CONTROL_ERROR, failure));
            }
            let allowed = stream.allows(data.len(), &limits);
            allowed.map_err(|failure| (code(&failure), failure))?;
            if !last {
                stream.append(data);
                let full = |held| Event::Full(frame.stream, held);
                events.extend(stream.wants_room().map(full));
            }
            Ok(())
        });
        let known = taken.is_some();
        match taken {
            Some(Ok(())) if last => self.answered(frame.stream, data, out, events),
            Some(Err((code, failure))) => self.fail(frame.stream, code, failure, out, events),
            Some(Ok(())) | None => {}
        }
        self.received += size;
        if self.received > CONNECTION_WINDOW {
            let what = "it sends more data than the connection's window takes";
            return Err(Broken::new(
                Code::FLOW_CONTROL_ERROR,
                ErrorName::HttpProtocolError,
                what,
            ));
        }
        if self.received >= CONNECTION_WINDOW / 2 {
            frame::put_window_update(out, 0, self.received);
            self.received = 0;
        }
        if known && (last || !data.is_empty()) {
            self.idle = 0;
            return Ok(());
        }
        self.nothing()
    }

    pub(super) fn headers(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Taken {
        self.stream(frame.stream)?;
        let block = frame.content()?;
        let last = frame.has(END_STREAM);
        if frame.has(END_HEADERS) {
            return self.section(frame.stream, last, block, out, events);
        }
        if block.len() > self.limits.head {
            return Err(self.large_block());
        }
        self.block = Some(Block {
            stream: frame.stream,
            last,
            bytes: block.to_vec(),
            continuations: 0,
        });
        Ok(())
    }

    pub(super) fn continuation(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Taken {
        let Some(mut block) = self.block.take() else {
            return Ok(());
        };
        block.continuations += 1;
        if block.continuations > MAX_CONTINUATIONS {
            return Err(calm("a head is in more than 32 pieces"));
        }
        if block.bytes.len() + frame.payload.len() > self.limits.head {
            return Err(self.large_block());
        }
        block.bytes.extend_from_slice(frame.payload);
        if frame.has(END_HEADERS) {
            return self.section(block.stream, block.last, &block.bytes, out, events);
        }
        self.block = Some(block);
        Ok(())
    }

    /// What is not decoded is missing from the table, so the connection cannot go on.
    fn large_block(&self) -> Broken {
        let name = ErrorName::HttpResponseHeaderSectionSize;
        let what = format!("a head is over {} bytes", self.limits.head);
        Broken::new(Code::ENHANCE_YOUR_CALM, name, what)
    }

    /// A field section, whole. It is decoded whoever it is for, as the table goes on from there.
    fn section(
        &mut self,
        id: u32,
        last: bool,
        block: &[u8],
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Taken {
        let limits = self.limits;
        let known = self.stream(id)?.map(|stream| stream.head.is_some());
        let mut section = Section::new(&limits, known == Some(true));
        let decoded = self
            .decoder
            .decode(block, |field| section.take(field.meaning, field.size));
        if let Err(Undecodable(why)) = decoded {
            let name = ErrorName::HttpProtocolError;
            let what = format!("a head cannot be decoded, it has {why}");
            return Err(Broken::new(Code::COMPRESSION_ERROR, name, what));
        }
        if known.is_none() {
            return self.nothing();
        }
        let failure = match section.finish() {
            Ok(Some(head)) if head.status.is_informational() => {
                // 101 is not for HTTP/2 (section 8.6), and none of them ends a stream.
                if !last && head.status.as_u16() != 101 {
                    return self.nothing();
                }
                malformed("an informational status where none may be")
            }
            Ok(None) if !last => malformed("a second head"),
            Ok(head) => {
                self.idle = 0;
                return self.headed(id, head, last, out, events);
            }
            Err(Fault::Malformed(why)) => malformed(why),
            Err(Fault::TooLarge) => Failure::head_size(&limits),
        };
        self.fail(id, code(&failure), failure, out, events);
        Ok(())
    }

    /// A head, or trailers, of which nothing is kept.
    fn headed(
        &mut self,
        id: u32,
        head: Option<Head>,
        last: bool,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Taken {
        if let (Some(head), Some(stream)) = (head, self.streams.get(id)) {
            let length = head.length;
            stream.head = Some(head);
            if !last && length.is_some_and(|length| length > self.limits.body as u64) {
                let failure = Failure::body_size(&self.limits);
                self.fail(id, Code::CANCEL, failure, out, events);
                return Ok(());
            }
        }
        if last {
            self.answered(id, &[], out, events);
        }
        Ok(())
    }

    /// The server has ended a stream.
    fn answered(&mut self, id: u32, data: &[u8], out: &mut Vec<u8>, events: &mut Vec<Event>) {
        let Some(stream) = self.close(id) else {
            return;
        };
        if !stream.unsent.is_empty() {
            // It did not wait for the whole request; the rest of it is of no use (section 8.1).
            frame::put_reset(out, id, Code::CANCEL);
        }
        events.push(match stream.end(data) {
            Ok(answer) => Event::Answer(id, answer),
            Err(failure) => Event::Failed(id, failure),
        });
    }

    /// Gives a stream up for what the server has sent on it.
    pub(super) fn fail(
        &mut self,
        id: u32,
        code: Code,
        failure: Failure,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) {
        if self.close(id).is_some() {
            frame::put_reset(out, id, code);
            events.push(Event::Failed(id, failure));
        }
    }
}

/// What a server is told of a response that failed with us.
fn code(failure: &Failure) -> Code {
    match failure.name() {
        ErrorName::HttpProtocolError => Code::PROTOCOL_ERROR,
        _ => Code::CANCEL,
    }
}
