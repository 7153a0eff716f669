//! Control frames of a WebSocket, the same in both encodings: Ping, Pong and Close.

use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fetchway_ws::{CloseCode, Opcode, close_payload, put_frame};

/// Control frames to be sent on one socket, and the wakers of its reader and writer. Kept in the locked
/// state of the session.
#[derive(Debug)]
pub(super) struct Socket {
    /// The writer's waker, while it waits for something to write.
    writer: Option<Waker>,
    /// The reader's waker, while reading is paused because too much received data is unread.
    reader: Option<Waker>,
    pong: Option<Bytes>,
    close: Option<Vec<u8>>,
    close_sent: bool,
    last_received: Instant,
    last_ping: Instant,
    /// When the relay's first message must have arrived.
    greeting_due: Option<Instant>,
}

/// How long a relay may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    /// Silence after which a Ping is sent.
    pub(super) ping_every: Duration,
    /// Silence after which the socket is given up.
    pub(super) dead_after: Duration,
}

impl Socket {
    /// Returns the state of a new socket. `greeting_due`: when the relay's first message must have arrived,
    /// if the encoding has one.
    pub(super) fn new(now: Instant, greeting_due: Option<Instant>) -> Self {
        Self {
            writer: None,
            reader: None,
            pong: None,
            close: None,
            close_sent: false,
            last_received: now,
            last_ping: now,
            greeting_due,
        }
    }

    /// Takes the writer's waker; `None` if the writer is busy and will look for work by itself.
    pub(super) fn take_writer(&mut self) -> Option<Waker> {
        self.writer.take()
    }

    /// Keeps the writer's waker until there is something to write.
    pub(super) fn park_writer(&mut self, waker: &Waker) {
        keep_waker(&mut self.writer, waker);
    }

    /// Pauses reading until the reader is woken.
    pub(super) fn park_reader(&mut self, waker: &Waker) {
        self.reader = Some(waker.clone());
    }

    /// Takes the waker of a paused reader, as there is room to read again. The pause does not count as
    /// silence of the relay.
    pub(super) fn take_reader(&mut self) -> Option<Waker> {
        self.last_received = Instant::now();
        self.reader.take()
    }

    /// Returns true while the client itself does not read.
    pub(super) fn is_read_paused(&self) -> bool {
        self.reader.is_some()
    }

    /// Records that something was received at `now`.
    pub(super) fn note_received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// Records that the relay's first message has arrived.
    pub(super) fn note_greeting(&mut self) {
        self.greeting_due = None;
    }

    /// Queues the Pong that answers a Ping. Of several Pings only the last is answered.
    pub(super) fn queue_pong(&mut self, payload: Bytes) {
        self.pong = Some(payload);
    }

    /// Queues a Close, unless one is queued or sent.
    pub(super) fn close(&mut self, code: CloseCode, reason: &str) {
        if !self.close_sent && self.close.is_none() {
            self.close = Some(close_payload(code, reason));
        }
    }

    /// Returns true if a Close is queued.
    pub(super) fn is_closing(&self) -> bool {
        self.close.is_some()
    }

    /// Returns true if there is a control frame to write.
    pub(super) fn has_work(&self, now: Instant, liveness: Liveness) -> bool {
        self.pong.is_some() || self.close.is_some() || now >= self.ping_at(liveness)
    }

    /// Returns when the next Ping is due if the relay stays silent.
    pub(super) fn ping_at(&self, liveness: Liveness) -> Instant {
        self.last_received.max(self.last_ping) + liveness.ping_every
    }

    /// Returns when the socket is given up if the relay stays silent.
    pub(super) fn dead_at(&self, liveness: Liveness) -> Instant {
        let dead = self.last_received + liveness.dead_after;
        self.greeting_due.map_or(dead, |due| due.min(dead))
    }

    /// Appends the queued Pong and a Ping that is due.
    pub(super) fn put_pong_and_ping(
        &mut self,
        now: Instant,
        liveness: Liveness,
        out: &mut BytesMut,
    ) {
        if let Some(payload) = self.pong.take() {
            put_frame(out, Opcode::Pong, &payload, Some(rand::random()));
        }
        if now >= self.ping_at(liveness) {
            self.last_ping = now;
            put_frame(out, Opcode::Ping, b"", Some(rand::random()));
        }
    }

    /// Appends the queued Close and returns true, if there is one. Nothing may be written after it.
    pub(super) fn put_close(&mut self, out: &mut BytesMut) -> bool {
        let Some(payload) = self.close.take() else {
            return false;
        };
        self.close_sent = true;
        put_frame(out, Opcode::Close, &payload, Some(rand::random()));
        true
    }
}

/// Keeps a waker, without cloning it if the same one is kept already.
pub(super) fn keep_waker(kept: &mut Option<Waker>, waker: &Waker) {
    match kept {
        Some(kept) => kept.clone_from(waker),
        none => *none = Some(waker.clone()),
    }
}
