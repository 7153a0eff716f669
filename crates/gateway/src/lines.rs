//! The connections to the API that a reactor's own thread reads and writes, without a task or a future
//! for a message: who gets which, and what becomes of them.
//!
//! ```text
//!   message ──▶ leave? ──▶ a line with room? ──yes──▶ on the line ──▶ answered, or failed
//!                 │no              └no──▶ waits, a line is dialled ──▶ ┘
//!                 └──▶ through the engine, which waits and tries again (`deliver`)
//! ```
//!
//! They live in thread-local storage, so that nothing here is locked, and whoever is not on a reactor's
//! thread finds none.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use fetchway_fetch::{Direct, Opened};
use fetchway_policy::FetchError;
use fetchway_upstream::Limits;
use http::HeaderValue;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use tokio::time::Instant;

use crate::call::{Call, End, FREE, Form};
use crate::gateway::Inner;
use crate::line::{Line, Next, Wants, broken};
use crate::reactor::{Reactor, Ready};

/// Set in the tokens of lines; those of clients are places.
pub(crate) const LINE: usize = 1 << 40;

/// Bytes of an answer's head.
const HEAD: usize = 64 << 10;

/// What of an answer to a message is looked at.
const WANTED: &[&str] = &[
    "content-type",
    "fetchway-state",
    "fetchway-send",
    "retry-after",
];

/// Bytes read at a time, and reads of one line in a row.
const READ: usize = 64 << 10;
const TURN: usize = 8;

thread_local! {
    static LINES: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

/// The lines of one reactor.
pub(crate) struct Lines {
    direct: Arc<Direct>,
    form: Form,
    limits: Limits,
    registry: Registry,
    gateway: Weak<Inner>,
    all: Vec<Option<Line>>,
    free: Vec<u32>,
    /// Lines of HTTP/1.1 without a call; the last one in is the first out, so the rest can grow old.
    idle: Vec<u32>,
    /// Calls that have leave and no line.
    waiting: VecDeque<Call>,
    dialling: usize,
    last_serial: u64,
    /// Lines of HTTP/2 with something to be written, and those with more to be read.
    unsent: Vec<u32>,
    unread: Vec<u32>,
    /// What has ended while the lines were in use.
    ends: Vec<End>,
    wants: Vec<Wants>,
    scratch: Vec<u8>,
    idle_max: usize,
    idle_timeout: Duration,
    /// The reactor is at it, and will flush when it is through.
    is_attended: bool,
    reactor: Weak<Reactor>,
}

/// Makes lines for the reactor of this thread.
pub(crate) fn set_up(lines: Lines) {
    LINES.set(Some(lines));
}

/// Does something with this thread's lines, if it has some, and then tells the gateway what has ended.
pub(crate) fn with(gateway: &Arc<Inner>, act: impl FnOnce(&mut Lines)) {
    let ends = LINES.with_borrow_mut(|lines| {
        let lines = lines.as_mut()?;
        act(lines);
        (!lines.ends.is_empty()).then(|| std::mem::take(&mut lines.ends))
    });
    let Some(mut ends) = ends else { return };
    for end in ends.drain(..) {
        gateway.heard(end);
    }
    // Its memory is used again.
    LINES.with_borrow_mut(|lines| {
        if let Some(lines) = lines.as_mut().filter(|lines| lines.ends.is_empty()) {
            lines.ends = ends;
        }
    });
}

/// Sends a message over a line of this thread. Gives it back if that cannot be.
pub(crate) fn post(make: impl FnOnce(&Direct) -> Option<Call>) -> bool {
    LINES.with_borrow_mut(|lines| {
        let Some(lines) = lines else { return false };
        let Some(call) = make(&lines.direct) else {
            return false;
        };
        lines.post(call);
        lines.call_reactor();
        true
    })
}

/// The API asks, by a `Retry-After` of this value, to be left alone for a time.
pub(crate) fn heed(asked: &HeaderValue) {
    LINES.with_borrow(|lines| {
        if let Some(lines) = lines {
            lines.direct.heed(asked);
        }
    });
}

impl Lines {
    pub(crate) fn new(
        gateway: &Arc<Inner>,
        direct: Direct,
        reactor: &Arc<Reactor>,
        registry: Registry,
    ) -> Self {
        let cap = usize::try_from(direct.cap()).unwrap_or(usize::MAX);
        let idle = direct.idle();
        Self {
            form: Form::new(&direct, &gateway.base, gateway.salt),
            limits: Limits {
                head: HEAD,
                body: cap,
                free: FREE,
                wanted: WANTED,
            },
            direct: Arc::new(direct),
            registry,
            gateway: Arc::downgrade(gateway),
            all: Vec::new(),
            free: Vec::new(),
            idle: Vec::new(),
            waiting: VecDeque::new(),
            dialling: 0,
            last_serial: 0,
            unsent: Vec::new(),
            unread: Vec::new(),
            ends: Vec::new(),
            wants: Vec::new(),
            scratch: vec![0; READ],
            // Each reactor has its share.
            idle_max: idle.most.div_ceil(gateway.reactors.len()),
            idle_timeout: idle.timeout,
            is_attended: false,
            reactor: Arc::downgrade(reactor),
        }
    }

    /// Has the reactor flush, unless it will anyway.
    fn call_reactor(&self) {
        let has_work = !(self.unsent.is_empty() && self.unread.is_empty() && self.ends.is_empty());
        if has_work
            && !self.is_attended
            && let Some(reactor) = self.reactor.upgrade()
        {
            reactor.wake();
        }
    }

    /// The reactor begins a turn.
    pub(crate) fn attend(&mut self) {
        self.is_attended = true;
    }

    fn post(&mut self, call: Call) {
        if self.waiting.is_empty()
            && let Some(at) = self.roomy()
        {
            return self.send(at, call);
        }
        self.waiting.push_back(call);
        self.dial();
    }

    /// A line that takes a call.
    fn roomy(&mut self) -> Option<u32> {
        if !self.direct.is_h2c() {
            return self.idle.pop();
        }
        let roomy = |line: &Option<Line>| line.as_ref().is_some_and(|line| line.room() > 0);
        let at = self.all.iter().position(roomy)?;
        Some(at as u32)
    }

    fn send(&mut self, at: u32, call: Call) {
        let Some(line) = &mut self.all[at as usize] else {
            return self.waiting.push_front(call);
        };
        if let Err(error) = line.send(call, &mut self.form) {
            return self.over(at, Some(&broken(&error)));
        }
        if self.direct.is_h2c() {
            self.unsent.push(at);
        }
    }

    /// Opens lines for those who wait: in HTTP/1.1 one each, in HTTP/2 one after the other, as each is
    /// for many.
    fn dial(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let opening = self.all.iter().flatten().filter(|line| line.is_opening());
        let wanted = match self.direct.is_h2c() {
            true => usize::from(opening.count() == 0),
            false => self.waiting.len(),
        };
        while self.dialling < wanted {
            self.dialling += 1;
            let (direct, gateway) = (self.direct.clone(), self.gateway.clone());
            tokio::spawn(async move {
                let opened = direct.dial().await;
                if let Some(gateway) = gateway.upgrade() {
                    with(&gateway, |lines| lines.dialled(opened));
                }
            });
        }
    }

    fn dialled(&mut self, opened: Result<Opened, FetchError>) {
        self.dialling -= 1;
        let watched = opened.and_then(|opened| self.watch(opened));
        match watched {
            Ok(at) if self.direct.is_h2c() => self.unsent.push(at),
            Ok(at) => self.idle.push(at),
            // It fails those that it was for.
            Err(error) => {
                let failed = match self.direct.is_h2c() {
                    true => self.waiting.len(),
                    false => usize::from(self.waiting.len() > self.dialling),
                };
                let calls = self.waiting.drain(..failed);
                self.ends
                    .extend(calls.map(|call| call.failed(error.clone(), true)));
            }
        }
        self.serve();
        self.flush();
    }

    /// Gives a connection its place.
    fn watch(&mut self, opened: Opened) -> Result<u32, FetchError> {
        self.last_serial += 1;
        let line = Line::new(opened, self.direct.is_h2c(), self.last_serial, &self.limits);
        let at = self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            self.all.len() as u32 - 1
        });
        let all = Interest::READABLE | Interest::WRITABLE;
        let token = Token(LINE | at as usize);
        let watched = self
            .registry
            .register(&mut SourceFd(&line.fd()), token, all);
        if let Err(error) = watched {
            self.free.push(at);
            return Err(broken(&error));
        }
        self.all[at as usize] = Some(line);
        Ok(at)
    }

    /// Calls that wait go to lines that have room.
    fn serve(&mut self) {
        while !self.waiting.is_empty()
            && let Some(at) = self.roomy()
            && let Some(call) = self.waiting.pop_front()
        {
            self.send(at, call);
        }
        self.dial();
    }

    /// Something has happened to a line's socket.
    pub(crate) fn ready(&mut self, token: usize, ready: Ready) {
        let at = (token & !LINE) as u32;
        if ready.writable
            && let Some(Some(line)) = self.all.get_mut(at as usize)
            && let Err(error) = line.flush()
        {
            return self.over(at, Some(&broken(&error)));
        }
        if ready.readable || ready.ended {
            self.read(at, ready.ended);
        }
    }

    fn read(&mut self, at: u32, all: bool) {
        let Some(Some(line)) = self.all.get_mut(at as usize) else {
            return;
        };
        let was_idle = line.is_idle();
        let out = (&mut self.ends, &mut self.wants);
        let next = line.read(&mut self.scratch, (all, TURN), &self.limits, out);
        let serial = line.serial;
        let is_free = !was_idle && line.is_idle();
        for wants in std::mem::take(&mut self.wants) {
            self.make_room(at, serial, wants);
        }
        match next {
            Next::Over => self.over(at, None),
            // Its own answers, and what the windows held back.
            _ if self.direct.is_h2c() => self.unsent.push(at),
            _ if is_free => self.idle.push(at),
            _ => {}
        }
        if next == Next::Again {
            self.unread.push(at);
        }
        self.serve();
    }

    /// Waits for room for more of an answer, and goes on reading.
    fn make_room(&mut self, at: u32, serial: u64, (stream, held): Wants) {
        let Some(Some(line)) = self.all.get_mut(at as usize) else {
            return;
        };
        let mut hold = line.take_hold(stream).unwrap_or_else(|| self.direct.hold());
        let gateway = self.gateway.clone();
        // Twice as much each time, so that a long answer waits a few times only.
        let bytes = held.min(self.direct.cap());
        tokio::spawn(async move {
            // Without a session there is nobody to answer.
            let granted = hold.more(bytes).await.is_ok();
            let Some(gateway) = gateway.upgrade().filter(|_| granted) else {
                return;
            };
            with(&gateway, |lines| {
                let Some(Some(line)) = lines.all.get_mut(at as usize) else {
                    return;
                };
                if line.serial == serial {
                    line.granted(stream, bytes, hold);
                    lines.read(at, true);
                    lines.flush();
                }
            });
        });
    }

    /// A line is of no more use; with an error what is on it fails.
    fn over(&mut self, at: u32, error: Option<&FetchError>) {
        let Some(mut line) = self.all[at as usize].take() else {
            return;
        };
        if let Some(error) = error {
            line.break_off(error, &mut self.ends);
        }
        // Its drop closes the socket, which so leaves the set.
        drop(line);
        self.idle.retain(|idle| *idle != at);
        self.free.push(at);
    }

    /// Ends a turn of the reactor: writes what has gathered, and goes on reading where a line's own
    /// turn was over.
    pub(crate) fn flush(&mut self) {
        self.is_attended = false;
        for at in std::mem::take(&mut self.unread) {
            self.read(at, true);
        }
        while let Some(at) = self.unsent.pop() {
            if let Some(Some(line)) = self.all.get_mut(at as usize)
                && let Err(error) = line.flush()
            {
                self.over(at, Some(&broken(&error)));
            }
        }
        self.serve();
        self.call_reactor();
    }

    /// Fails what takes too long, and closes what has been idle for too long. Called now and then.
    pub(crate) fn look(&mut self) {
        let now = Instant::now();
        let (direct, patience) = (self.direct.clone(), self.direct.patience());
        let late = |call: &Call, has_begun: bool, heard: Instant| {
            let took = now - call.leave.began();
            if took > patience.total {
                Some(direct.total_over())
            } else if !has_begun && took > patience.header {
                Some(direct.no_header())
            } else if has_begun && now - heard > patience.body_idle {
                Some(direct.stands_still())
            } else {
                None
            }
        };
        // Those that wait for a line in vain try it through the engine, which tells why.
        let in_vain = |call: &Call| now - call.leave.began() > patience.connect;
        while self.waiting.front().is_some_and(in_vain)
            && let Some(call) = self.waiting.pop_front()
        {
            self.ends.push(call.failed(direct.no_header(), true));
        }
        for at in 0..self.all.len() {
            let Some(line) = &mut self.all[at] else {
                continue;
            };
            let idle = now - line.used;
            let is_old = line.is_idle()
                && (idle > self.idle_timeout || line.is_opening() && idle > patience.connect);
            if line.look(late, &mut self.ends) == Next::Over || is_old {
                self.over(at as u32, None);
            } else if self.direct.is_h2c() {
                self.unsent.push(at as u32);
            }
        }
        while self.idle.len() > self.idle_max {
            // The one that has been idle for longest.
            self.over(self.idle[0], None);
        }
        self.flush();
    }
}
