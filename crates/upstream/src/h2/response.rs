//! Responses: heads, data and trailers.

use fetchway_policy::ErrorName;

use super::connection::{CONNECTION_WINDOW, Connection, Event};
use super::error::{Code, ConnectionError, Handled};
use super::frame::{self, END_HEADERS, END_STREAM, Frame};
use super::head::{Block, Fault, Head, Section};
use super::hpack::Undecodable;
use super::stream::malformed;
use crate::Failure;

/// Maximum number of CONTINUATION frames of one head.
const MAX_CONTINUATIONS: u32 = 32;

impl Connection {
    pub(super) fn data(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Handled {
        let limits = self.limits;
        let data = frame.content()?;
        let last = frame.has(END_STREAM);
        // Padding counts against the windows.
        let size = frame.payload.len() as u32;
        let stream = self.stream(frame.stream)?;
        let taken = stream.map(|stream| {
            if !stream.received(size) {
                let failure = malformed("more data than its window allows");
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
            let what = "the server sends more data than the connection's window allows";
            return Err(ConnectionError::new(
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
            self.ineffective = 0;
            return Ok(());
        }
        self.without_effect()
    }

    pub(super) fn headers(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Handled {
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
    ) -> Handled {
        let Some(mut block) = self.block.take() else {
            return Ok(());
        };
        block.continuations += 1;
        if block.continuations > MAX_CONTINUATIONS {
            return Err(ConnectionError::calm(
                "a head has more than 32 CONTINUATION frames",
            ));
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

    /// Returns the error for a head that is too large. A head that is not decoded is missing from
    /// HPACK's table, so the connection fails.
    fn large_block(&self) -> ConnectionError {
        let name = ErrorName::HttpResponseHeaderSectionSize;
        let what = format!("a head is over {} bytes", self.limits.head);
        ConnectionError::new(Code::ENHANCE_YOUR_CALM, name, what)
    }

    /// Handles a complete field section. Every section must be decoded, whichever stream it belongs to,
    /// as it may change HPACK's table.
    fn section(
        &mut self,
        id: u32,
        last: bool,
        block: &[u8],
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Handled {
        let limits = self.limits;
        let known = self.stream(id)?.map(|stream| stream.head.is_some());
        let mut section = Section::new(&limits, known == Some(true));
        let decoded = self
            .decoder
            .decode(block, |field| section.take(field.meaning, field.size));
        if let Err(Undecodable(why)) = decoded {
            let name = ErrorName::HttpProtocolError;
            let what = format!("a head cannot be decoded, it has {why}");
            return Err(ConnectionError::new(Code::COMPRESSION_ERROR, name, what));
        }
        if known.is_none() {
            return self.without_effect();
        }
        let failure = match section.finish() {
            Ok(Some(head)) if head.status.is_informational() => {
                // HTTP/2 does not use 101 (section 8.6), and an informational head never ends a stream.
                if !last && head.status.as_u16() != 101 {
                    return self.without_effect();
                }
                malformed("an informational status at the end of a stream, or 101")
            }
            Ok(None) if !last => malformed("a second head"),
            Ok(head) => {
                self.ineffective = 0;
                return self.headed(id, head, last, out, events);
            }
            Err(Fault::Malformed(why)) => malformed(why),
            Err(Fault::TooLarge) => Failure::head_size(&limits),
        };
        self.fail(id, code(&failure), failure, out, events);
        Ok(())
    }

    /// Handles a head, or trailers, which are dropped.
    fn headed(
        &mut self,
        id: u32,
        head: Option<Head>,
        last: bool,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Handled {
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

    /// Completes a stream that the server has ended.
    fn answered(&mut self, id: u32, data: &[u8], out: &mut Vec<u8>, events: &mut Vec<Event>) {
        let Some(stream) = self.close(id) else {
            return;
        };
        if !stream.unsent.is_empty() {
            // The server answered before it had the whole request; the remainder is not sent (section
            // 8.1).
            frame::put_reset(out, id, Code::CANCEL);
        }
        events.push(match stream.end(data) {
            Ok(answer) => Event::Response(id, answer),
            Err(failure) => Event::Failed(id, failure),
        });
    }

    /// Resets a stream after an invalid response, and reports the failure.
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

/// Returns the error code that the server receives for a response that failed on our side.
fn code(failure: &Failure) -> Code {
    match failure.name() {
        ErrorName::HttpProtocolError => Code::PROTOCOL_ERROR,
        _ => Code::CANCEL,
    }
}
