//! What every open WebSocket owes its peer, whatever its encoding: pongs, pings, a Close.

use std::sync::MutexGuard;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fetchway_ws::{CloseCode, Opcode, close_payload, put_frame};

/// The control side of the socket at hand. It stands in its link's locked state.
#[derive(Debug)]
pub(super) struct Socket {
    /// The writer, while it waits for work.
    writer: Option<Waker>,
    /// The reader, while too much of what it read is unread.
    reader: Option<Waker>,
    pong: Option<Bytes>,
    close: Option<Vec<u8>>,
    closed: bool,
    heard: Instant,
    pinged: Instant,
    /// The relay's first word must have come by then.
    greeted_by: Option<Instant>,
}

/// Gives the lock of a link's state back and wakes the writer, which wants it at once.
pub(super) fn wake_writer<S: AsMut<Socket>>(mut state: MutexGuard<'_, S>) {
    let writer = state.as_mut().writer();
    drop(state);
    if let Some(writer) = writer {
        writer.wake();
    }
}

/// How long a relay may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    pub(super) ping_every: Duration,
    pub(super) dead_after: Duration,
}

impl Socket {
    /// `greeted_by`: when the relay's first word must have come, if one must.
    pub(super) fn new(now: Instant, greeted_by: Option<Instant>) -> Self {
        Self {
            writer: None,
            reader: None,
            pong: None,
            close: None,
            closed: false,
            heard: now,
            pinged: now,
            greeted_by,
        }
    }

    /// Who is to be woken for there is something to write; nobody if the writer is at work anyway.
    pub(super) fn writer(&mut self) -> Option<Waker> {
        self.writer.take()
    }

    /// The writer waits.
    pub(super) fn park_writer(&mut self, waker: &Waker) {
        match &mut self.writer {
            Some(writer) => writer.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Nothing is read until the reader is woken.
    pub(super) fn park_reader(&mut self, waker: &Waker) {
        self.reader = Some(waker.clone());
    }

    /// Who is to be woken for there is room to read on.
    pub(super) fn reader(&mut self) -> Option<Waker> {
        self.heard = Instant::now();
        self.reader.take()
    }

    /// Whether we are the ones who do not listen.
    pub(super) fn is_paused(&self) -> bool {
        self.reader.is_some()
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(super) fn greeted(&mut self) {
        self.greeted_by = None;
    }

    /// To be answered; of several pings only the last one is.
    pub(super) fn ping_came(&mut self, payload: Bytes) {
        self.pong = Some(payload);
    }

    /// A Close is to be sent, unless one has been.
    pub(super) fn close(&mut self, code: CloseCode, reason: &str) {
        if !self.closed && self.close.is_none() {
            self.close = Some(close_payload(code, reason));
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.close.is_some()
    }

    pub(super) fn wants(&self, now: Instant, liveness: Liveness) -> bool {
        self.pong.is_some() || self.close.is_some() || now >= self.ping_at(liveness)
    }

    /// When the relay is to be pinged if it stays silent.
    pub(super) fn ping_at(&self, liveness: Liveness) -> Instant {
        self.heard.max(self.pinged) + liveness.ping_every
    }

    /// When the relay is to be given up if it stays silent.
    pub(super) fn dead_at(&self, liveness: Liveness) -> Instant {
        let dead = self.heard + liveness.dead_after;
        self.greeted_by.map_or(dead, |by| by.min(dead))
    }

    /// Appends a pong and a ping, if there are any.
    pub(super) fn put(&mut self, now: Instant, liveness: Liveness, out: &mut BytesMut) {
        if let Some(payload) = self.pong.take() {
            put_frame(out, Opcode::Pong, &payload, Some(rand::random()));
        }
        if now >= self.ping_at(liveness) {
            self.pinged = now;
            put_frame(out, Opcode::Ping, b"", Some(rand::random()));
        }
    }

    /// Appends the Close, if there is one; nothing may follow it.
    pub(super) fn put_close(&mut self, out: &mut BytesMut) -> bool {
        let Some(payload) = self.close.take() else {
            return false;
        };
        self.closed = true;
        put_frame(out, Opcode::Close, &payload, Some(rand::random()));
        true
    }
}
