//! The connection as its driver sees it: its life from preface to end.

use std::borrow::Cow;

use fetchway_policy::ErrorName;

use super::frame::{self, Code, Frame};
use super::hpack::{Decoder, Encoder};
use super::response::Block;
use super::settings::{self, MAX_WINDOW, Settings};
use super::stream::Streams;
use crate::{Answer, Failure, Limits};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of responses that may be under way at once. All that comes is taken in at once, so no stream
/// can use it up for others.
pub(super) const CONNECTION_WINDOW: u32 = 16 << 20;

/// What a connection's window is before it is said to be more.
const FIRST_WINDOW: u32 = 65_535;

/// Streams that are opened at once at most, whatever a server allows: for more of them there should be
/// another connection.
const MAX_STREAMS: u32 = 1_000;

const MAX_ID: u32 = MAX_WINDOW;

/// What has become of a stream. Answered or failed, it is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is answered.
    Answer(u32, Answer),
    /// It will not be.
    Failed(u32, Failure),
    /// It goes on, and its response soon needs more room than it has: of its body so many bytes are
    /// kept. See [`Connection::grant`].
    Full(u32, u64),
}

/// One connection's machine.
///
/// `out` is, in all of its methods, what has not been written to the socket yet. They append to it; the
/// driver takes off its front what it has written, and does nothing else to it. So the machine knows
/// whether the server reads what it is answered: one that does not may not go on asking.
#[derive(Debug)]
pub struct Connection {
    pub(super) limits: Limits,
    pub(super) encoder: Encoder,
    pub(super) decoder: Decoder,
    pub(super) streams: Streams,
    /// The id of the next stream: odd.
    pub(super) next: u32,
    /// A piece of a frame.
    partial: Vec<u8>,
    /// A head of which more frames must come.
    pub(super) block: Option<Block>,
    pub(super) server: Settings,
    /// Whether the server's SETTINGS have come.
    pub(super) greeted: bool,
    /// The last stream that a GOAWAY lets be answered, and why it was sent.
    pub(super) leaving: Option<(u32, Code)>,
    broken: Option<Failure>,
    /// Bytes that the server takes on all streams together.
    pub(super) window: i64,
    /// Bytes that came since we last gave the server as many.
    pub(super) received: u32,
    /// Streams with a body that waits for windows.
    pub(super) waiting: usize,
    /// Answers to frames since all that had gone out before `mark` was written.
    pub(super) owed: u32,
    mark: u64,
    /// Bytes appended to `out` so far.
    laid: u64,
    /// Frames in a row that brought nothing.
    pub(super) idle: u32,
    pings: u64,
    pub(super) pinging: Option<[u8; 8]>,
}

/// Why a connection cannot go on.
#[derive(Debug)]
pub(super) struct Broken {
    code: Code,
    failure: Failure,
}

impl Broken {
    pub(super) fn new(code: Code, name: ErrorName, what: impl Into<Cow<'static, str>>) -> Self {
        let detail = format!("The API's HTTP/2 is not as it should be: {}.", what.into());
        Self {
            code,
            failure: Failure::new(name, detail),
        }
    }

    pub(super) fn protocol(what: &'static str) -> Self {
        Self::new(Code::PROTOCOL_ERROR, ErrorName::HttpProtocolError, what)
    }
}

impl Connection {
    /// A connection that has just been opened. The beginning of it goes to `out`; the first request has
    /// to wait for the server's SETTINGS, see [`Connection::room`].
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
            broken: None,
            window: i64::from(FIRST_WINDOW),
            received: 0,
            waiting: 0,
            owed: 0,
            mark: 0,
            laid: out.len() as u64,
            idle: 0,
            pings: 0,
            pinging: None,
        }
    }

    /// Streams that may be opened now: none before the server's SETTINGS have come, once the connection
    /// is leaving or broken, or while as many as the server allows (at most 1,000) are open.
    #[must_use]
    pub fn room(&self) -> usize {
        if !self.greeted || self.is_leaving() {
            return 0;
        }
        let ids = (MAX_ID - self.next) / 2 + 1;
        let allowed = self.server.streams.min(MAX_STREAMS).min(ids);
        (allowed as usize).saturating_sub(self.active())
    }

    /// Whether the server has said how many streams it takes.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.greeted
    }

    /// Whether the head of a stream's response has come.
    #[must_use]
    pub fn has_begun(&self, stream: u32) -> bool {
        let stream = self.streams.peek(stream);
        stream.is_some_and(|stream| stream.head.is_some())
    }

    /// Streams that are open.
    #[must_use]
    pub fn active(&self) -> usize {
        self.streams.len()
    }

    /// Whether no further stream can ever be opened: the server has sent a GOAWAY, the ids are used up
    /// or the connection is broken. Streams that are open may still be answered.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_some() || self.broken.is_some() || self.next > MAX_ID
    }

    /// Takes the bytes of a read, however sliced. What has to go out goes to `out`, what has become of
    /// streams to `events`.
    ///
    /// # Errors
    /// The server does not speak HTTP/2 as it should. The connection is to be closed, best after `out`
    /// is written, and [`Connection::end`] says what becomes of the streams still open.
    pub fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        if let Some(failure) = &self.broken {
            return Err(failure.clone());
        }
        let known = out.len();
        if self.laid.saturating_sub(known as u64) >= self.mark {
            self.owed = 0;
            self.mark = self.laid;
        }
        let taken = self.read(bytes, out, events).map_err(|mut broken| {
            if !self.greeted {
                broken.failure = Failure::protocol(
                    "The origin did not answer in HTTP/2, which it is spoken to in without TLS (h2c): \
                     have it do so, or address it as http.",
                );
            }
            frame::put_goaway(out, broken.code);
            self.broken = Some(broken.failure.clone());
            broken.failure
        });
        self.laid(known, out);
        taken
    }

    /// Counts what has been appended to `out`, which had so many bytes.
    pub(super) fn laid(&mut self, known: usize, out: &[u8]) {
        self.laid += (out.len() - known) as u64;
    }

    /// Takes frame after frame where they lie. Only one that is cut is copied.
    fn read(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Result<(), Broken> {
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

    /// There is room for `bytes` more of a stream's response, beyond [`Limits::free`].
    pub fn grant(&mut self, stream: u32, bytes: u64, out: &mut Vec<u8>) {
        if let Some(known) = self.streams.get(stream) {
            let more = known.granted(bytes);
            if more > 0 {
                frame::put_window_update(out, stream, more);
            }
        }
    }

    /// Gives a stream up: its response is not wanted any more. Nothing more is heard of it.
    pub fn cancel(&mut self, stream: u32, out: &mut Vec<u8>) {
        if self.close(stream).is_some() {
            let known = out.len();
            frame::put_reset(out, stream, Code::CANCEL);
            self.laid(known, out);
        }
    }

    /// The connection is gone: says what becomes of the streams still open, which is nothing good.
    pub fn end(&mut self, events: &mut Vec<Event>) {
        while let Some(stream) = self.streams.pop_above(0) {
            let failure = match (&self.broken, &self.leaving) {
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
        self.broken.get_or_insert_with(gone);
    }

    /// Asks the server for a sign of life, unless one is awaited already.
    pub fn ping(&mut self, out: &mut Vec<u8>) {
        if self.pinging.is_none() {
            self.pings += 1;
            let payload = self.pings.to_be_bytes();
            let known = out.len();
            frame::put_ping(out, 0, payload);
            self.laid(known, out);
            self.pinging = Some(payload);
        }
    }

    /// Whether the last [`Connection::ping`] has not been answered.
    #[must_use]
    pub fn is_ping_pending(&self) -> bool {
        self.pinging.is_some()
    }
}

pub(super) fn terminated(detail: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(ErrorName::ConnectionTerminated, detail)
}
