//! What comes in: the server's frames, each with the checks that RFC 9113 asks for.

use fetchway_policy::ErrorName;

use super::connection::{Broken, CONNECTION_WINDOW, Connection, Event, terminated};
use super::frame::{self, ACK, Code, END_HEADERS, END_STREAM, Frame, kind};
use super::head::{Fault, Head, Section};
use super::hpack::Undecodable;
use super::settings::MAX_WINDOW;
use super::stream::{Stream, malformed};
use crate::Failure;

/// Answers to PING and SETTINGS that may be unwritten. A server that asks on without reading is left.
const MAX_OWED: u32 = 1_000;

/// Frames in a row that bring nothing. They cost no memory, only time, so this is generous: a server
/// that pings an idle connection each ten seconds gets there in a day.
const MAX_IDLE: u32 = 10_000;

/// Frames that continue one head.
const MAX_CONTINUATIONS: u32 = 32;

/// A head of which more frames must come.
#[derive(Debug)]
pub(super) struct Block {
    stream: u32,
    last: bool,
    bytes: Vec<u8>,
    continuations: u32,
}

type Taken = Result<(), Broken>;

impl Connection {
    pub(super) fn frame(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Taken {
        if !self.greeted && (frame.kind != kind::SETTINGS || frame.has(ACK)) {
            return Err(Broken::protocol("it does not begin with SETTINGS"));
        }
        let continued = self.block.as_ref().map(|block| block.stream);
        match (frame.kind, continued) {
            (kind::CONTINUATION, Some(stream)) if stream == frame.stream => {
                self.continuation(frame, out, events)
            }
            (kind::CONTINUATION, _) | (_, Some(_)) => {
                Err(Broken::protocol("a head is not continued as it should be"))
            }
            (kind::DATA, _) => self.data(frame, out, events),
            (kind::HEADERS, _) => self.headers(frame, out, events),
            (kind::PRIORITY, _) => frame.fixed::<5>().and_then(|_| self.nothing()),
            (kind::RST_STREAM, _) => self.reset(frame, events),
            (kind::SETTINGS, _) => self.settings(frame, out),
            (kind::PUSH_PROMISE, _) => Err(Broken::protocol("it pushes, which is switched off")),
            (kind::PING, _) => self.pinged(frame, out),
            (kind::GOAWAY, _) => self.goaway(frame, events),
            (kind::WINDOW_UPDATE, _) => self.window_update(frame, out, events),
            _ => self.nothing(),
        }
    }

    /// Counts a frame that brought nothing.
    fn nothing(&mut self) -> Taken {
        self.idle += 1;
        match self.idle <= MAX_IDLE {
            true => Ok(()),
            false => Err(calm("it sends frames that bring nothing")),
        }
    }

    /// Counts an answer, which the server has to read some time.
    fn answers(&mut self) -> Taken {
        self.owed += 1;
        match self.owed <= MAX_OWED {
            true => Ok(()),
            false => Err(calm("it asks for answers that it does not read")),
        }
    }

    /// The stream of a frame. `None`: it has been closed.
    fn stream(&mut self, id: u32) -> Result<Option<&mut Stream>, Broken> {
        // Only we open streams, with odd ids.
        if id.is_multiple_of(2) || id >= self.next {
            return Err(Broken::protocol(
                "a frame is of a stream that was never opened",
            ));
        }
        Ok(self.streams.get(id))
    }

    fn data(&mut self, frame: Frame<'_>, out: &mut Vec<u8>, events: &mut Vec<Event>) -> Taken {
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

    fn headers(&mut self, frame: Frame<'_>, out: &mut Vec<u8>, events: &mut Vec<Event>) -> Taken {
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

    fn continuation(
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
    fn fail(
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

    fn reset(&mut self, frame: Frame<'_>, events: &mut Vec<Event>) -> Taken {
        let code = Code(u32::from_be_bytes(frame.fixed()?));
        self.stream(frame.stream)?;
        let Some(stream) = self.close(frame.stream) else {
            // After a whole response that is usual.
            return self.nothing();
        };
        let detail = format!("The API ended the HTTP/2 stream without a whole response ({code}).");
        let failure = match code {
            Code::REFUSED_STREAM => terminated(detail).unsent(),
            _ if stream.head.is_some() => Failure::new(ErrorName::HttpResponseIncomplete, detail),
            _ => terminated(detail),
        };
        events.push(Event::Failed(stream.id, failure));
        Ok(())
    }

    fn settings(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Taken {
        on_connection(frame)?;
        if frame.has(ACK) {
            frame.fixed::<0>()?;
            return self.nothing();
        }
        let changed = self.server.changed(frame.payload)?;
        let growth = i64::from(changed.window) - i64::from(self.server.window);
        for stream in self.streams.iter_mut() {
            stream.window += growth;
            if stream.window > i64::from(MAX_WINDOW) {
                return Err(large_window());
            }
        }
        self.encoder.resize(changed.table);
        self.server = changed;
        self.greeted = true;
        frame::put_header(out, 0, kind::SETTINGS, ACK, 0);
        self.answers()?;
        self.nothing()?;
        self.flush(out);
        Ok(())
    }

    fn pinged(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Taken {
        on_connection(frame)?;
        let payload = frame.fixed()?;
        if frame.has(ACK) {
            if self.pinging == Some(payload) {
                self.pinging = None;
            }
        } else {
            frame::put_ping(out, ACK, payload);
            self.answers()?;
        }
        self.nothing()
    }

    fn goaway(&mut self, frame: Frame<'_>, events: &mut Vec<Event>) -> Taken {
        on_connection(frame)?;
        let [l0, l1, l2, l3, c0, c1, c2, c3, ..] = *frame.payload else {
            let name = ErrorName::HttpProtocolError;
            return Err(Broken::new(
                Code::FRAME_SIZE_ERROR,
                name,
                "a GOAWAY is too short",
            ));
        };
        let last = u32::from_be_bytes([l0, l1, l2, l3]) & 0x7fff_ffff;
        let code = Code(u32::from_be_bytes([c0, c1, c2, c3]));
        // A later one may let fewer be answered, but never more (section 6.8).
        let last = self.leaving.map_or(last, |(before, _)| last.min(before));
        self.leaving = Some((last, code));
        while let Some(stream) = self.streams.pop_above(last) {
            if !stream.unsent.is_empty() {
                self.waiting -= 1;
            }
            let detail = format!("The API ends the HTTP/2 connection before the request ({code}).");
            events.push(Event::Failed(stream.id, terminated(detail).unsent()));
        }
        self.nothing()
    }

    fn window_update(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Taken {
        let growth = u32::from_be_bytes(frame.fixed()?) & MAX_WINDOW;
        let waited = self.waiting > 0;
        if frame.stream == 0 {
            self.window += i64::from(growth);
            if growth == 0 {
                return Err(Broken::protocol("a window grows by nothing"));
            }
            if self.window > i64::from(MAX_WINDOW) {
                return Err(large_window());
            }
        } else if let Some(stream) = self.stream(frame.stream)? {
            stream.window += i64::from(growth);
            let code = match growth {
                0 => Some(Code::PROTOCOL_ERROR),
                _ => (stream.window > i64::from(MAX_WINDOW)).then_some(Code::FLOW_CONTROL_ERROR),
            };
            if let Some(code) = code {
                let failure = malformed("a window that grows by nothing or too much");
                self.fail(frame.stream, code, failure, out, events);
            }
        }
        self.flush(out);
        match waited {
            true => Ok(()),
            false => self.nothing(),
        }
    }
}

/// For frames that belong to no stream.
fn on_connection(frame: Frame<'_>) -> Taken {
    match frame.stream {
        0 => Ok(()),
        _ => Err(Broken::protocol("a frame of the connection names a stream")),
    }
}

/// What a server is told of a response that failed with us.
fn code(failure: &Failure) -> Code {
    match failure.name() {
        ErrorName::HttpProtocolError => Code::PROTOCOL_ERROR,
        _ => Code::CANCEL,
    }
}

fn calm(what: &'static str) -> Broken {
    Broken::new(Code::ENHANCE_YOUR_CALM, ErrorName::HttpProtocolError, what)
}

fn large_window() -> Broken {
    let what = "a window grows over 2 GiB";
    Broken::new(Code::FLOW_CONTROL_ERROR, ErrorName::HttpProtocolError, what)
}
