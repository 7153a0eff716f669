//! The interface of a connection for its driver, from the preface to the end.

use std::borrow::Cow;

use fetchway_policy::ErrorName;

use super::error::{Code, ConnectionError};
use super::frame::{self, Frame};
use super::head::Block;
use super::hpack::{Decoder, Encoder};
use super::settings::{self, MAX_WINDOW, Settings};
use super::stream::Streams;
use crate::{Failure, Limits, Response};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Flow-control window of the connection in bytes. Received data is processed at once, so no stream can
/// use up the window of others.
pub(super) const CONNECTION_WINDOW: u32 = 16 << 20;

/// Window of a new connection in bytes, before WINDOW_UPDATE.
const FIRST_WINDOW: u32 = 65_535;

/// Maximum number of open streams, whatever a server allows. More streams should use another
/// connection.
const MAX_STREAMS: u32 = 1_000;

const MAX_ID: u32 = MAX_WINDOW;

/// An event on a stream. After `Response` and `Failed` the stream no longer exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The stream has a complete response.
    Response(u32, Response),
    /// The stream has failed.
    Failed(u32, Failure),
    /// The stream will soon have used up its window; the number is that of its body bytes kept so far.
    /// [`Connection::grant`] allows more.
    Full(u32, u64),
}

/// The state machine of one connection.
///
/// In all methods, `out` contains the bytes that have not been written to the socket. The methods
/// append to it. The driver removes what it has written from the front, and makes no other change. Thus
/// the machine knows whether the server reads its answers; a server that does not must not keep asking.
#[derive(Debug)]
pub struct Connection {
    pub(super) limits: Limits,
    pub(super) encoder: Encoder,
    pub(super) decoder: Decoder,
    pub(super) streams: Streams,
    /// Id of the next stream, always odd.
    pub(super) next: u32,
    /// An incomplete frame.
    partial: Vec<u8>,
    /// A head that continues in further frames.
    pub(super) block: Option<Block>,
    pub(super) server: Settings,
    /// True once the server's SETTINGS have arrived.
    pub(super) greeted: bool,
    /// The last stream that a GOAWAY allows to be answered, and its error code.
    pub(super) leaving: Option<(u32, Code)>,
    failed: Option<Failure>,
    /// Bytes that the server accepts, on all streams together.
    pub(super) window: i64,
    /// Bytes received since the last WINDOW_UPDATE for the connection.
    pub(super) received: u32,
    /// Number of streams whose body waits for a window.
    pub(super) waiting: usize,
    /// Number of answers since the bytes before `mark` were written to the socket.
    pub(super) owed: u32,
    mark: u64,
    /// Number of bytes appended to `out` so far.
    appended: u64,
    /// Number of consecutive frames without effect.
    pub(super) ineffective: u32,
    pings: u64,
    pub(super) pinging: Option<[u8; 8]>,
}

impl Connection {
    /// Creates the machine for a new connection, and writes the preface to `out`. The first request
    /// must wait for the server's SETTINGS, see [`Connection::room`].
    pub fn new(limits: &Limits, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(PREFACE);
        settings::put_ours(out, limits);
        frame::put_window_update(out, 0, CONNECTION_WINDOW - FIRST_WINDOW);
        let server = Settings::default();
        Self {
            limits: *limits,
            encoder: Encoder::new(),
            decoder: Decoder::new(limits.wanted),
            streams: Streams::default(),
            next: 1,
            partial: Vec::new(),
            block: None,
            server,
            greeted: false,
            leaving: None,
            failed: None,
            window: i64::from(FIRST_WINDOW),
            received: 0,
            waiting: 0,
            owed: 0,
            mark: 0,
            appended: out.len() as u64,
            ineffective: 0,
            pings: 0,
            pinging: None,
        }
    }

    /// Returns the number of streams that may be opened now. The number is 0 before the server's
    /// SETTINGS have arrived, once the connection is leaving or has failed, and while as many streams
    /// are open as the server allows (at most 1,000).
    #[must_use]
    pub fn room(&self) -> usize {
        if !self.greeted || self.is_leaving() {
            return 0;
        }
        let ids = (MAX_ID - self.next) / 2 + 1;
        let allowed = self.server.streams.min(MAX_STREAMS).min(ids);
        (allowed as usize).saturating_sub(self.active())
    }

    /// Returns true once the server has announced how many streams it accepts.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.greeted
    }

    /// Returns true if the head of a stream's response has arrived.
    #[must_use]
    pub fn has_begun(&self, stream: u32) -> bool {
        let stream = self.streams.peek(stream);
        stream.is_some_and(|stream| stream.head.is_some())
    }

    /// Returns the number of open streams.
    #[must_use]
    pub fn active(&self) -> usize {
        self.streams.len()
    }

    /// Returns true if no further stream can be opened: the server has sent a GOAWAY, the ids are used
    /// up, or the connection has failed. Open streams may still be answered.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_some() || self.failed.is_some() || self.next > MAX_ID
    }

    /// Handles received `bytes`, in slices of any length. Bytes to send are appended to `out`, and
    /// events on streams to `events`.
    ///
    /// # Errors
    /// The server violates HTTP/2. Close the connection, if possible after writing `out`, and call
    /// [`Connection::end`] for the streams that are still open.
    pub fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        if let Some(failure) = &self.failed {
            return Err(failure.clone());
        }
        let known = out.len();
        if self.appended.saturating_sub(known as u64) >= self.mark {
            self.owed = 0;
            self.mark = self.appended;
        }
        let taken = self.read(bytes, out, events).map_err(|mut error| {
            if !self.greeted {
                error.failure = Failure::protocol(
                    "The origin did not answer in HTTP/2 without TLS (h2c): enable h2c there, or use a URL \
                     that begins with http://.",
                );
            }
            frame::put_goaway(out, error.code);
            self.failed = Some(error.failure.clone());
            error.failure
        });
        self.count_appended(known, out);
        taken
    }

    /// Counts the bytes that were appended to `out`, which had `known` bytes before.
    pub(super) fn count_appended(&mut self, known: usize, out: &[u8]) {
        self.appended += (out.len() - known) as u64;
    }

    /// Handles each frame in place. Only an incomplete frame is copied.
    fn read(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Result<(), ConnectionError> {
        let mut partial = std::mem::take(&mut self.partial);
        while !partial.is_empty() && !bytes.is_empty() {
            let length = Frame::length(&partial)?.unwrap_or(frame::HEADER);
            let missing = bytes.len().min(length - partial.len());
            let (piece, rest) = bytes.split_at(missing);
            partial.reserve_exact(length - partial.len());
            partial.extend_from_slice(piece);
            bytes = rest;
            if let Some((frame, _)) = Frame::split(&partial)? {
                self.frame(frame, out, events)?;
                partial = Vec::new();
            }
        }
        while let Some((frame, rest)) = Frame::split(bytes)? {
            self.frame(frame, out, events)?;
            bytes = rest;
        }
        partial.extend_from_slice(bytes);
        self.partial = partial;
        Ok(())
    }

    /// Allows `bytes` more of a stream's response, beyond [`Limits::free`].
    pub fn grant(&mut self, stream: u32, bytes: u64, out: &mut Vec<u8>) {
        if let Some(known) = self.streams.get(stream) {
            let more = known.granted(bytes);
            if more > 0 {
                frame::put_window_update(out, stream, more);
            }
        }
    }

    /// Cancels a stream whose response is no longer wanted. No further event follows for it.
    pub fn cancel(&mut self, stream: u32, out: &mut Vec<u8>) {
        if self.close(stream).is_some() {
            let known = out.len();
            frame::put_reset(out, stream, Code::CANCEL);
            self.count_appended(known, out);
        }
    }

    /// Ends the connection, which fails all open streams.
    pub fn end(&mut self, events: &mut Vec<Event>) {
        while let Some(stream) = self.streams.pop_above(0) {
            let failure = match (&self.failed, &self.leaving) {
                (Some(failure), _) => failure.clone(),
                (None, _) if stream.head.is_some() => Failure::new(
                    ErrorName::HttpResponseIncomplete,
                    "The HTTP/2 connection to the API ended within its response.",
                ),
                (None, Some((_, code))) => terminated(format!(
                    "The origin ended the HTTP/2 connection without a response ({code})."
                )),
                (None, None) => {
                    terminated("The HTTP/2 connection to the API ended without a response.")
                }
            };
            events.push(Event::Failed(stream.id, failure));
        }
        self.waiting = 0;
        let gone = || terminated("The HTTP/2 connection to the API has ended.");
        self.failed.get_or_insert_with(gone);
    }

    /// Sends a PING, unless one is still unanswered.
    pub fn ping(&mut self, out: &mut Vec<u8>) {
        if self.pinging.is_none() {
            self.pings += 1;
            let payload = self.pings.to_be_bytes();
            let known = out.len();
            frame::put_ping(out, 0, payload);
            self.count_appended(known, out);
            self.pinging = Some(payload);
        }
    }

    /// Returns true if the last [`Connection::ping`] has not been answered.
    #[must_use]
    pub fn is_ping_pending(&self) -> bool {
        self.pinging.is_some()
    }
}

pub(super) fn terminated(detail: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(ErrorName::ConnectionTerminated, detail)
}
