//! The server's frames, with the checks that RFC 9113 requires. `response` handles HEADERS,
//! CONTINUATION and DATA.

use fetchway_policy::ErrorName;

use super::connection::{Connection, Event, terminated};
use super::error::{Code, ConnectionError, Handled};
use super::frame::{self, ACK, Frame, kind};
use super::settings::MAX_WINDOW;
use super::stream::{Stream, malformed};
use crate::Failure;

/// Maximum number of answers to PING and SETTINGS since the server last read some. At most twice as
/// many wait to be written. The connection of a server that sends further ones without reading is
/// closed.
const MAX_OWED: u32 = 1_000;

/// Maximum number of consecutive frames without effect. Such frames cost time but no memory, so the
/// limit is generous: a server that pings an idle connection every ten seconds reaches it after a day.
const MAX_INEFFECTIVE: u32 = 10_000;

impl Connection {
    pub(super) fn frame(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Handled {
        if !self.greeted && (frame.kind != kind::SETTINGS || frame.has(ACK)) {
            return Err(ConnectionError::protocol(
                "the server's first frame is not SETTINGS",
            ));
        }
        let continued = self.block.as_ref().map(|block| block.stream);
        match (frame.kind, continued) {
            (kind::CONTINUATION, Some(stream)) if stream == frame.stream => {
                self.continuation(frame, out, events)
            }
            (kind::CONTINUATION, _) | (_, Some(_)) => Err(ConnectionError::protocol(
                "a head is not followed by its CONTINUATION",
            )),
            (kind::DATA, _) => self.data(frame, out, events),
            (kind::HEADERS, _) => self.headers(frame, out, events),
            (kind::PRIORITY, _) => frame.fixed::<5>().and_then(|_| self.without_effect()),
            (kind::RST_STREAM, _) => self.reset(frame, events),
            (kind::SETTINGS, _) => self.settings(frame, out),
            (kind::PUSH_PROMISE, _) => Err(ConnectionError::protocol(
                "the server pushes, though push is disabled",
            )),
            (kind::PING, _) => self.pinged(frame, out),
            (kind::GOAWAY, _) => self.goaway(frame, events),
            (kind::WINDOW_UPDATE, _) => self.window_update(frame, out, events),
            _ => self.without_effect(),
        }
    }

    /// Counts a frame without effect.
    pub(super) fn without_effect(&mut self) -> Handled {
        self.ineffective += 1;
        match self.ineffective <= MAX_INEFFECTIVE {
            true => Ok(()),
            false => Err(ConnectionError::calm(
                "the server sends too many frames without effect",
            )),
        }
    }

    /// Counts an answer that the server has to read.
    fn answers(&mut self) -> Handled {
        self.owed += 1;
        match self.owed <= MAX_OWED {
            true => Ok(()),
            false => Err(ConnectionError::calm(
                "the server requests answers that it does not read",
            )),
        }
    }

    /// Returns the stream of a frame, or `None` if the stream has been closed.
    pub(super) fn stream(&mut self, id: u32) -> Result<Option<&mut Stream>, ConnectionError> {
        // Only the client opens streams, with odd ids.
        if id.is_multiple_of(2) || id >= self.next {
            return Err(ConnectionError::protocol(
                "a frame is for a stream that was never opened",
            ));
        }
        Ok(self.streams.get(id))
    }

    fn reset(&mut self, frame: Frame<'_>, events: &mut Vec<Event>) -> Handled {
        let code = Code(u32::from_be_bytes(frame.fixed()?));
        self.stream(frame.stream)?;
        let Some(stream) = self.close(frame.stream) else {
            // A reset after a complete response is usual.
            return self.without_effect();
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

    fn settings(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Handled {
        on_connection(frame)?;
        if frame.has(ACK) {
            frame.fixed::<0>()?;
            return self.without_effect();
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
        self.without_effect()?;
        self.flush(out);
        Ok(())
    }

    fn pinged(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Handled {
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
        self.without_effect()
    }

    fn goaway(&mut self, frame: Frame<'_>, events: &mut Vec<Event>) -> Handled {
        on_connection(frame)?;
        let [l0, l1, l2, l3, c0, c1, c2, c3, ..] = *frame.payload else {
            let name = ErrorName::HttpProtocolError;
            return Err(ConnectionError::new(
                Code::FRAME_SIZE_ERROR,
                name,
                "a GOAWAY is too short",
            ));
        };
        let last = u32::from_be_bytes([l0, l1, l2, l3]) & 0x7fff_ffff;
        let code = Code(u32::from_be_bytes([c0, c1, c2, c3]));
        // A later GOAWAY may allow fewer streams, but never more (section 6.8).
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
        self.without_effect()
    }

    fn window_update(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Handled {
        let growth = u32::from_be_bytes(frame.fixed()?) & MAX_WINDOW;
        let waited = self.waiting > 0;
        if frame.stream == 0 {
            self.window += i64::from(growth);
            if growth == 0 {
                return Err(ConnectionError::protocol("a window grows by 0"));
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
                let failure = malformed("a window update of 0 or over 2 GiB");
                self.fail(frame.stream, code, failure, out, events);
            }
        }
        self.flush(out);
        match waited {
            true => Ok(()),
            false => self.without_effect(),
        }
    }
}

/// Checks that a frame belongs to no stream.
fn on_connection(frame: Frame<'_>) -> Handled {
    match frame.stream {
        0 => Ok(()),
        _ => Err(ConnectionError::protocol(
            "a frame for the connection names a stream",
        )),
    }
}

fn large_window() -> ConnectionError {
    let what = "a window grows over 2 GiB";
    ConnectionError::new(Code::FLOW_CONTROL_ERROR, ErrorName::HttpProtocolError, what)
}
