//! What comes in: the server's frames, each with the checks that RFC 9113 asks for. Those of responses are
//! in `response`.

use fetchway_policy::ErrorName;

use super::connection::{Broken, Connection, Event, terminated};
use super::frame::{self, ACK, Code, Frame, kind};
use super::settings::MAX_WINDOW;
use super::stream::{Stream, malformed};
use crate::Failure;

/// Answers to PING and SETTINGS before those before them are written, so at most twice as many wait. A
/// server that asks on without reading is left.
const MAX_OWED: u32 = 1_000;

/// Frames in a row that bring nothing. They cost no memory, only time, so this is generous: a server
/// that pings an idle connection each ten seconds gets there in a day.
const MAX_IDLE: u32 = 10_000;

pub(super) type Taken = Result<(), Broken>;

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
    pub(super) fn nothing(&mut self) -> Taken {
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
    pub(super) fn stream(&mut self, id: u32) -> Result<Option<&mut Stream>, Broken> {
        // Only we open streams, with odd ids.
        if id.is_multiple_of(2) || id >= self.next {
            return Err(Broken::protocol(
                "a frame is of a stream that was never opened",
            ));
        }
        Ok(self.streams.get(id))
    }

    fn reset(&mut self, frame: Frame<'_>, events: &mut Vec<Event>) -> Taken {
        let code = Code(u32::from_be_bytes(frame.fixed()?));
        self.stream(frame.stream)?;
        let Some(stream) = self.close(frame.stream) else {
            // After a whole response that is usual.
            return self.nothing();
        };
        let detail =
            format!("The origin ended the HTTP/2 stream without a whole response ({code}).");
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
            let detail =
                format!("The origin ends the HTTP/2 connection before the request ({code}).");
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

pub(super) fn calm(what: &'static str) -> Broken {
    Broken::new(Code::ENHANCE_YOUR_CALM, ErrorName::HttpProtocolError, what)
}

fn large_window() -> Broken {
    let what = "a window grows over 2 GiB";
    Broken::new(Code::FLOW_CONTROL_ERROR, ErrorName::HttpProtocolError, what)
}
