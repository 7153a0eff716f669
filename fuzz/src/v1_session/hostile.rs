//! One end, whose peer sends whatever the input says.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::frame::{MAX_PIECE, Part};
use fetchway_wire::v1::session::floor;
use fetchway_wire::v1::{
    Config, Event, Frame, GoingAway, Hello, Reset, Session, TOKEN, Violation, decode,
};

use super::script::Script;
use super::{check, frames, give, may_be_gone, message, request, response};

struct Host {
    session: Session,
    config: Config,
    client: bool,
    now: Instant,
    /// Streams that the application knows to be open: reported to it, and ended by neither side.
    open: BTreeSet<u64>,
    /// Number of bytes sent, and the highest limit that the peer has announced.
    sent: u64,
    limit: u64,
    /// Number of sequenced frames sent, without those that are sent again.
    seen: u64,
}

pub(super) fn run(script: &mut Script<'_>, config: Config, client: bool) {
    let (session, limit) = if client {
        (Session::client(config), 0)
    } else {
        let hello = hello(script, None);
        let session = Session::relay(config, &hello, [1; TOKEN], None);
        (session, hello.session_window.unwrap_or_default())
    };
    let mut host = Host {
        session,
        config,
        client,
        now: Instant::now(),
        open: BTreeSet::new(),
        sent: 0,
        limit: limit.max(floor::SESSION_WINDOW),
        seen: 0,
    };
    while !script.is_over() {
        if host.step(script).is_err() {
            // The driver closes the socket and drops the session.
            return;
        }
        check(&host.session, host.config);
        // A stream that the session has dropped has ended for the application too.
        let (known, open) = (host.open.len() as u64, host.session.open_streams());
        assert!(known <= open, "{known} streams are known, {open} are open");
    }
    host.finish();
}

fn hello(script: &mut Script<'_>, received: Option<u64>) -> Hello {
    Hello {
        streams: Some(script.number()),
        session_window: Some(1_024 * script.number()),
        stream_window: Some(512 * script.number()),
        token: Some([2; TOKEN]),
        received,
        ..Hello::default()
    }
}

impl Host {
    fn step(&mut self, script: &mut Script<'_>) -> Result<(), Violation> {
        match script.byte() % 16 {
            0..=4 => {
                let frame = self.frame(script);
                self.receive(frame)?;
            }
            5 => {
                let mut raw = script.raw();
                while let Some(frame) = decode(&mut raw)? {
                    self.receive(frame)?;
                }
            }
            6 | 7 => self.transmit(script.length()),
            8 => self.now += Duration::from_millis(script.number()),
            9 => return self.next_socket(script),
            10 => return self.sleep(script),
            _ => self.call(script),
        }
        Ok(())
    }

    /// Makes a frame that is valid more often than raw bytes are.
    fn frame(&mut self, script: &mut Script<'_>) -> Frame {
        let (kind, stream) = (script.byte(), script.id().max(1));
        let flags = script.byte();
        let (end, more) = (flags & 1 != 0, flags & 2 != 0);
        let part = match kind % 16 {
            0 | 1 => Part::Open,
            2 => Part::Head,
            3 => Part::Trailers,
            4 => Part::More,
            5..=7 => {
                let mut bytes = script.piece();
                bytes.truncate(MAX_PIECE);
                return Frame::Data { stream, end, bytes };
            }
            8 => {
                let reset = Reset::cancelled();
                return Frame::Reset { stream, reset };
            }
            9 => return Frame::Stop { stream },
            10 => return Frame::Ack(self.seen.saturating_sub(script.number())),
            11 => {
                let stream = script.id();
                let bytes = 1_024 * script.number();
                return Frame::Limit { stream, bytes };
            }
            12 => return Frame::Ping(Bytes::copy_from_slice(&[flags])),
            13 => return Frame::Hello(hello(script, None)),
            14 => {
                let (last, detail) = (stream, String::new());
                return Frame::GoingAway(GoingAway { last, detail });
            }
            _ => {
                let sequenced = flags & 4 != 0;
                return Frame::Unknown { sequenced };
            }
        };
        let mut block = BytesMut::new();
        match part {
            Part::Open => request(script.length()).put(&mut block),
            Part::Head => response(script.length()).put(&mut block),
            _ => block.extend_from_slice(&script.raw()),
        }
        block.truncate(MAX_PIECE);
        Frame::Block {
            stream,
            part,
            end,
            more,
            block: block.freeze(),
        }
    }

    fn receive(&mut self, frame: Frame) -> Result<(), Violation> {
        match &frame {
            Frame::Limit { stream: 0, bytes } => self.limit = self.limit.max(*bytes),
            Frame::Hello(hello) => {
                self.limit = self.limit.max(hello.session_window.unwrap_or_default());
            }
            _ => {}
        }
        match self.session.receive(frame, self.now)? {
            Some(Event::Opened { stream, .. }) => {
                assert!(!self.client && self.open.insert(stream), "opened twice");
            }
            Some(Event::Reset { stream, .. }) => {
                self.open.remove(&stream);
            }
            Some(Event::Data { stream, bytes, end }) => {
                assert!(!bytes.is_empty() || self.client || self.open.contains(&stream));
                self.ended(stream, end);
            }
            Some(Event::Head { stream, end, .. }) => self.ended(stream, end),
            Some(Event::Trailers { stream, .. }) => self.ended(stream, true),
            Some(Event::GoingAway(going)) => {
                if self.client {
                    self.open.retain(|id| *id <= going.last);
                }
            }
            Some(Event::Hello(_) | Event::Stopped { .. }) | None => {}
        }
        Ok(())
    }

    /// Ends the peer's half of a stream. At a client, this ends the stream.
    fn ended(&mut self, stream: u64, end: bool) {
        if end && self.client {
            self.open.remove(&stream);
        }
    }

    fn transmit(&mut self, most: usize) {
        for frame in frames(message(&mut self.session, self.now, most)) {
            if frame.is_sequenced() {
                self.seen += 1;
                self.sent += frame.weight();
            }
        }
        // Frames that are sent again count twice here, so the account is abandoned.
        assert!(self.sent <= self.limit, "the session's limit is passed");
    }

    /// The peer has received `received` frames, or claims so.
    fn next_socket(&mut self, script: &mut Script<'_>) -> Result<(), Violation> {
        let received = self.seen.saturating_sub(script.number());
        self.resume(script, received)
    }

    fn resume(&mut self, script: &mut Script<'_>, received: u64) -> Result<(), Violation> {
        self.session.disconnect();
        // Frames that are sent again are not counted here.
        self.limit = u64::MAX;
        let hello = hello(script, Some(received));
        if self.client {
            if self.session.reconnect().is_err() {
                return Err(Violation::Malformed("there is nothing to resume"));
            }
            let said = frames(message(&mut self.session, self.now, 1 << 10));
            assert!(matches!(said[..], [Frame::Hello(_)]), "{said:?}");
            self.receive(Frame::Hello(hello))?;
        } else {
            self.session.resume(&hello, [3; TOKEN])?;
        }
        self.seen = received;
        Ok(())
    }

    fn sleep(&mut self, script: &mut Script<'_>) -> Result<(), Violation> {
        let Ok(saved) = self.session.save() else {
            return Ok(());
        };
        self.session = Session::restore(&saved).expect("as saved");
        assert_eq!(self.session.save(), Ok(saved));
        self.resume(script, self.seen)
    }

    fn call(&mut self, script: &mut Script<'_>) {
        let (what, id) = (script.byte(), script.id());
        let session = &mut self.session;
        match what % 8 {
            0 => {
                if let Some(id) = session.open(&request(script.length()), what & 8 == 0) {
                    self.open.insert(id);
                }
            }
            1 => {
                let end = what & 8 == 0;
                let done = session.respond(id, &response(script.length()), end);
                if done.is_ok() && end && !self.client {
                    self.open.remove(&id);
                }
            }
            2 | 3 => {
                give(session, id, script.piece());
            }
            4 => {
                if session.end(id).is_ok() && !self.client {
                    self.open.remove(&id);
                }
            }
            5 => may_be_gone(session.stop(id)),
            6 => {
                if session.reset(id, Reset::cancelled()).is_ok() {
                    self.open.remove(&id);
                }
            }
            _ => session.consumed(id, script.length() as u64),
        }
        if what == 0xff {
            session.go_away("bye");
        }
    }

    /// The application ends all streams that it believes to be open, and the peer acknowledges. Nothing
    /// of them may be left, whatever was sent before.
    fn finish(mut self) {
        let open = std::mem::take(&mut self.open);
        for id in &open {
            // The stream is already gone if its own frames, or the peer's, have ended it.
            may_be_gone(self.session.reset(*id, Reset::cancelled()));
        }
        for _ in 0..10_000 {
            if !self.session.wants_transmit(self.now) {
                break;
            }
            self.transmit(16 << 10);
            if self.receive(Frame::Ack(self.seen)).is_err() {
                // A client that has not received a HELLO.
                return;
            }
        }
        assert!(!self.session.wants_transmit(self.now), "it talks on and on");
        for id in open {
            let again = self.session.reset(id, Reset::cancelled());
            assert!(again.is_err(), "stream {id} never ends");
        }
    }
}
