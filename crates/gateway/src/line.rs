//! One connection to the API, of HTTP/1.1 or HTTP/2: what is on it, and how bytes come and go.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, RawFd};

use fetchway_fetch::{OpenGuard, Opened};
use fetchway_policy::{ErrorName, FetchError};
use fetchway_upstream::{Limits, h1, h2};
use tokio::time::Instant;

use crate::call::{Call, End, Form};

/// Bytes of room for what goes out that a buffer keeps when it is empty.
const KEPT: usize = 16 << 10;

/// One connection.
pub(crate) struct Line {
    tcp: TcpStream,
    /// Its drop tells that the connection is gone.
    _guard: OpenGuard,
    /// What the system has not taken yet, from `taken` on.
    out: Vec<u8>,
    taken: usize,
    /// All bytes that it has taken.
    written: u64,
    /// Tells it from others that had its place.
    pub(crate) serial: u64,
    /// When a call ended last, and when something was heard last.
    pub(crate) used: Instant,
    pub(crate) heard: Instant,
    speaks: Speaks,
}

#[expect(
    clippy::large_enum_variant,
    reason = "mostly there are many of the large one, which so need no memory of their own"
)]
enum Speaks {
    /// HTTP/1.1: a call at a time.
    One(One),
    /// HTTP/2.
    Many(Box<Many>),
}

#[derive(Default)]
struct One {
    reading: h1::ResponseReader,
    call: Option<Call>,
    /// It is not read, as there is no room for more of its answer yet.
    waits: bool,
}

struct Many {
    machine: h2::Connection,
    calls: HashMap<u32, Call>,
    /// It takes no more calls: it was silent for too long.
    is_retired: bool,
    events: Vec<h2::Event>,
}

/// How a line goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    On,
    /// There is more to be read, but others have their turn first.
    Again,
    /// It is of no more use, and nothing is on it.
    Over,
}

/// An answer that needs room before more of it is read: of which stream, and how much.
pub(crate) type Wants = (u32, u64);

impl Line {
    pub(crate) fn new(opened: Opened, h2c: bool, serial: u64, limits: &Limits) -> Self {
        let mut out = Vec::new();
        let speaks = match h2c {
            false => Speaks::One(One::default()),
            true => Speaks::Many(Box::new(Many {
                machine: h2::Connection::new(limits, &mut out),
                calls: HashMap::new(),
                is_retired: false,
                events: Vec::new(),
            })),
        };
        let now = Instant::now();
        Self {
            tcp: opened.tcp,
            _guard: opened.guard,
            out,
            taken: 0,
            written: 0,
            serial,
            used: now,
            heard: now,
            speaks,
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.tcp.as_raw_fd()
    }

    /// Calls that it takes now.
    pub(crate) fn room(&self) -> usize {
        match &self.speaks {
            Speaks::One(one) => usize::from(one.call.is_none()),
            Speaks::Many(many) if many.is_retired => 0,
            Speaks::Many(many) => many.machine.room(),
        }
    }

    /// Whether nothing is on it.
    pub(crate) fn is_idle(&self) -> bool {
        match &self.speaks {
            Speaks::One(one) => one.call.is_none(),
            Speaks::Many(many) => many.calls.is_empty(),
        }
    }

    /// Whether it will take calls as soon as the API has said how many.
    pub(crate) fn is_opening(&self) -> bool {
        match &self.speaks {
            Speaks::One(_) => false,
            Speaks::Many(many) => !many.machine.is_open() && !many.is_retired,
        }
    }

    /// Whether a call can still come to it, or one is on it.
    pub(crate) fn is_useless(&self) -> bool {
        match &self.speaks {
            Speaks::One(_) => false,
            Speaks::Many(many) => {
                many.calls.is_empty() && (many.is_retired || many.machine.is_leaving())
            }
        }
    }

    /// Takes a call, for which there is room. In HTTP/1.1 it is written at once, in HTTP/2 with the next
    /// [`Line::flush`].
    pub(crate) fn send(&mut self, mut call: Call, form: &mut Form) -> io::Result<()> {
        call.from = self.written + (self.out.len() - self.taken) as u64;
        match &mut self.speaks {
            Speaks::One(one) => {
                // All lines share a buffer, as hardly ever anything is left of it.
                let mut bytes = std::mem::take(&mut form.bytes);
                form.put(&call, |request| h1::put_request(&mut bytes, request));
                (one.reading, one.call) = (h1::ResponseReader::new(), Some(call));
                let written = write(&mut self.tcp, &bytes);
                if let Ok(written) = written {
                    self.written += written as u64;
                    self.out.extend_from_slice(&bytes[written..]);
                }
                bytes.clear();
                bytes.shrink_to(KEPT);
                form.bytes = bytes;
                written.map(drop)
            }
            Speaks::Many(many) => {
                let (machine, out) = (&mut many.machine, &mut self.out);
                let stream = form.put(&call, |request| machine.send(request, out));
                many.calls.insert(stream, call);
                Ok(())
            }
        }
    }

    /// Writes what the system takes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = write(&mut self.tcp, &self.out[self.taken..])?;
        self.written += written as u64;
        self.taken += written;
        if self.taken == self.out.len() {
            self.out.clear();
            self.out.shrink_to(KEPT);
            self.taken = 0;
        }
        Ok(())
    }

    /// Reads up to `turns` times. `all`: to the very end, as a short read may have hidden it.
    ///
    /// What has ended goes to `ends`, what needs room to `wants`.
    pub(crate) fn read(
        &mut self,
        scratch: &mut [u8],
        (all, turns): (bool, usize),
        limits: &Limits,
        (ends, wants): (&mut Vec<End>, &mut Vec<Wants>),
    ) -> Next {
        for _ in 0..turns {
            if let Speaks::One(One { waits: true, .. }) = self.speaks {
                return Next::On;
            }
            let n = match self.tcp.read(scratch) {
                Ok(0) => {
                    self.end(ends);
                    return Next::Over;
                }
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Next::On,
                Err(e) => {
                    self.break_off(&broken(&e), ends);
                    return Next::Over;
                }
            };
            self.heard = Instant::now();
            let next = match &mut self.speaks {
                Speaks::One(one) => {
                    let is_sent = self.out.is_empty();
                    one.take(&scratch[..n], is_sent, limits, (ends, wants))
                }
                Speaks::Many(many) => {
                    let out = (&mut self.out, self.written);
                    many.take(&scratch[..n], out, (ends, wants))
                }
            };
            if next == Next::Over {
                // In HTTP/2 the API is told why, if it still listens.
                let _ = self.flush();
                self.break_off(&not_reached(), ends);
                return next;
            }
            if self.is_idle() {
                self.used = self.heard;
            }
            if n < scratch.len() && !all {
                return Next::On;
            }
        }
        Next::Again
    }

    /// The API has closed the connection.
    fn end(&mut self, ends: &mut Vec<End>) {
        match &mut self.speaks {
            Speaks::One(one) => {
                let Some(call) = one.call.take() else { return };
                ends.push(match one.reading.end() {
                    Ok(answer) => call.answered(answer),
                    Err(failure) => {
                        let unsent = call.from >= self.written;
                        call.failed(failure, unsent)
                    }
                });
            }
            Speaks::Many(many) => many.end(self.written, ends),
        }
    }

    /// The connection is of no more use: whatever is still on it fails with `error`.
    pub(crate) fn break_off(&mut self, error: &FetchError, ends: &mut Vec<End>) {
        match &mut self.speaks {
            Speaks::One(one) => {
                let written = self.written;
                let fail = |call: Call| {
                    let unsent = call.from >= written;
                    call.failed(error.clone(), unsent)
                };
                ends.extend(one.call.take().map(fail));
            }
            Speaks::Many(many) => many.end(self.written, ends),
        }
    }

    /// There is room for `bytes` more of an answer, which `hold` is for.
    pub(crate) fn granted(&mut self, stream: u32, bytes: u64, hold: fetchway_fetch::Hold) {
        match &mut self.speaks {
            Speaks::One(one) => {
                one.waits = false;
                if let Some(call) = &mut one.call {
                    (call.hold, call.room) = (Some(hold), call.room + bytes);
                }
            }
            Speaks::Many(many) => {
                if let Some(call) = many.calls.get_mut(&stream) {
                    (call.hold, call.room) = (Some(hold), call.room + bytes);
                    many.machine.grant(stream, bytes, &mut self.out);
                }
            }
        }
    }

    /// The hold of a call that needs more room, if it has one.
    pub(crate) fn take_hold(&mut self, stream: u32) -> Option<fetchway_fetch::Hold> {
        self.call(stream)?.hold.take()
    }

    fn call(&mut self, stream: u32) -> Option<&mut Call> {
        match &mut self.speaks {
            Speaks::One(one) => one.call.as_mut(),
            Speaks::Many(many) => many.calls.get_mut(&stream),
        }
    }

    /// Fails the calls for which `late` has an error; it is told whether their answers have begun. Gives
    /// whether the line is of no more use.
    pub(crate) fn look(
        &mut self,
        late: impl Fn(&Call, bool, Instant) -> Option<FetchError>,
        ends: &mut Vec<End>,
    ) -> Next {
        match &mut self.speaks {
            Speaks::One(one) => {
                let Some(call) = &one.call else {
                    return Next::On;
                };
                // One that waits for room is not late.
                let error = late(call, one.reading.has_begun(), self.heard);
                let Some(error) = error.filter(|_| !one.waits) else {
                    return Next::On;
                };
                let unsent = call.from >= self.written;
                ends.extend(one.call.take().map(|call| call.failed(error, unsent)));
                Next::Over
            }
            Speaks::Many(many) => {
                many.look(late, self.heard, &mut self.out, ends);
                match self.is_useless() {
                    true => Next::Over,
                    false => Next::On,
                }
            }
        }
    }
}

impl One {
    fn take(
        &mut self,
        bytes: &[u8],
        is_sent: bool,
        limits: &Limits,
        (ends, wants): (&mut Vec<End>, &mut Vec<Wants>),
    ) -> Next {
        let Some(call) = &mut self.call else {
            // Nobody has asked for anything: a farewell, at best.
            return Next::Over;
        };
        match self.reading.take(bytes, limits) {
            Ok(None) => {
                let held = self.reading.held() as u64;
                if held > call.room {
                    self.waits = true;
                    wants.push((0, held));
                }
                Next::On
            }
            Ok(Some(answer)) => {
                ends.extend(self.call.take().map(|call| call.answered(answer)));
                match self.reading.may_stay() && is_sent {
                    true => Next::On,
                    false => Next::Over,
                }
            }
            Err(failure) => {
                ends.extend(self.call.take().map(|call| call.failed(failure, false)));
                Next::Over
            }
        }
    }
}

impl Many {
    fn take(
        &mut self,
        bytes: &[u8],
        (out, written): (&mut Vec<u8>, u64),
        (ends, wants): (&mut Vec<End>, &mut Vec<Wants>),
    ) -> Next {
        let taken = self.machine.take(bytes, out, &mut self.events);
        self.tell(written, ends, wants);
        match taken {
            Ok(()) if self.machine.is_leaving() && self.calls.is_empty() => Next::Over,
            Ok(()) => Next::On,
            Err(failure) => {
                tracing::debug!(%failure, "a connection to the API is given up");
                Next::Over
            }
        }
    }

    /// Passes on what has happened, when `written` bytes of the line had gone out.
    fn tell(&mut self, written: u64, ends: &mut Vec<End>, wants: &mut Vec<Wants>) {
        for event in self.events.drain(..) {
            match event {
                h2::Event::Response(stream, answer) => {
                    let call = self.calls.remove(&stream);
                    ends.extend(call.map(|call| call.answered(answer)));
                }
                h2::Event::Failed(stream, failure) => {
                    if let Some(call) = self.calls.remove(&stream) {
                        let unsent = failure.is_unsent() || call.from >= written;
                        ends.push(call.failed(failure, unsent));
                    }
                }
                h2::Event::Full(stream, held) => wants.push((stream, held)),
            }
        }
    }

    fn end(&mut self, written: u64, ends: &mut Vec<End>) {
        self.machine.end(&mut self.events);
        // Nobody gets room any more.
        self.tell(written, ends, &mut Vec::new());
    }

    fn look(
        &mut self,
        late: impl Fn(&Call, bool, Instant) -> Option<FetchError>,
        heard: Instant,
        out: &mut Vec<u8>,
        ends: &mut Vec<End>,
    ) {
        let calls = self.calls.iter();
        let given_up = calls.filter_map(|(stream, call)| {
            let error = late(call, self.machine.has_begun(*stream), heard)?;
            Some((*stream, error))
        });
        let given_up: Vec<(u32, FetchError)> = given_up.collect();
        for (stream, error) in given_up {
            self.machine.cancel(stream, out);
            if let Some(call) = self.calls.remove(&stream) {
                // Not a sign of life all the while: the next one shall not wait here as well.
                self.is_retired |= heard < call.leave.began();
                ends.push(call.failed(error, false));
            }
        }
    }
}

/// Writes what the system takes; gives how much that is.
fn write(tcp: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match tcp.write(&bytes[written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => written += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            // What comes of the part before shows when it is written to next, or read.
            Err(_) if written > 0 => break,
            Err(e) => return Err(e),
        }
    }
    Ok(written)
}

pub(crate) fn broken(error: &io::Error) -> FetchError {
    let detail = format!("The connection to the API broke ({error}).");
    FetchError::new(ErrorName::ConnectionTerminated, detail)
}

fn not_reached() -> FetchError {
    let detail = "The connection to the API ended before the request was answered.";
    FetchError::new(ErrorName::ConnectionTerminated, detail)
}
