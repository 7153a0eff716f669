//! One connection to the API: its socket, and how bytes come and go.

use std::io::{self, ErrorKind, Read as _};
use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, RawFd};

use fetchway_fetch::{Hold, OpenGuard, Opened};
use fetchway_policy::{ErrorName, FetchError};
use fetchway_upstream::Limits;
use tokio::time::Instant;

use super::call::{Call, Happened};
use super::format::Format;
use super::outgoing::Outgoing;
use super::protocol::{Next, Protocol};

/// Reads of one connection in a row.
const TURN: usize = 8;

/// One connection to the API.
pub(super) struct ApiConnection<P> {
    tcp: TcpStream,
    /// Reports to the engine's observer that the connection is gone, when dropped.
    _guard: OpenGuard,
    out: Outgoing,
    /// Distinguishes the connection from others that had its slot.
    pub(super) serial: u64,
    /// Time of the end of the last call, and of the last read.
    pub(super) used: Instant,
    heard: Instant,
    pub(super) protocol: P,
}

impl<P: Protocol> ApiConnection<P> {
    pub(super) fn new(opened: Opened, serial: u64, limits: &Limits) -> Self {
        let mut out = Outgoing::default();
        let now = Instant::now();
        Self {
            tcp: opened.tcp,
            _guard: opened.guard,
            protocol: P::new(limits, &mut out),
            out,
            serial,
            used: now,
            heard: now,
        }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.tcp.as_raw_fd()
    }

    /// Takes a call, for which there is room. In HTTP/1.1 the request is written at once, in HTTP/2 with
    /// the next [`ApiConnection::flush`].
    pub(super) fn send(
        &mut self,
        mut call: Call<P::Client>,
        format: &mut Format,
    ) -> io::Result<()> {
        call.from = self.out.position();
        if P::IS_MULTIPLEXED {
            self.protocol.send(call, format, &mut self.out);
            return Ok(());
        }
        // An idle connection keeps no buffer: it borrows the shared one.
        self.out.bytes = std::mem::take(&mut format.bytes);
        self.protocol.send(call, format, &mut self.out);
        self.flush()?;
        if self.out.is_empty() {
            format.bytes = std::mem::take(&mut self.out.bytes);
        }
        Ok(())
    }

    /// Writes what the system takes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush(&mut self.tcp)
    }

    /// Reads what there is, a few times in a row. `all`: to the very end, as a short read may have hidden
    /// it.
    pub(super) fn read(
        &mut self,
        scratch: &mut [u8],
        all: bool,
        limits: &Limits,
        happened: &mut Happened<P::Client>,
    ) -> Next {
        for _ in 0..TURN {
            if self.protocol.is_paused() {
                return Next::Wait;
            }
            let n = match self.tcp.read(scratch) {
                Ok(0) => {
                    self.protocol.end(self.out.written, happened);
                    return Next::Close;
                }
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Next::Wait,
                Err(e) => {
                    self.fail(&broken(&e), happened);
                    return Next::Close;
                }
            };
            self.heard = Instant::now();
            let next = self
                .protocol
                .receive(&scratch[..n], limits, &mut self.out, happened);
            if next == Next::Close {
                // In HTTP/2 the API is told why, if it still listens.
                let _ = self.flush();
                self.fail(&not_reached(), happened);
                return next;
            }
            if self.protocol.is_idle() {
                self.used = self.heard;
            }
            if n < scratch.len() && !all {
                return Next::Wait;
            }
        }
        Next::ReadMore
    }

    /// Fails the calls that are on the connection, which is of no more use.
    pub(super) fn fail(&mut self, error: &FetchError, happened: &mut Happened<P::Client>) {
        self.protocol.fail(error, self.out.written, happened);
    }

    /// Goes on with a response that there is room for now: `bytes` more, which `hold` reserves.
    pub(super) fn resume(&mut self, stream: u32, bytes: u64, hold: Hold) {
        if let Some(call) = self.protocol.call(stream) {
            (call.hold, call.room) = (Some(hold), call.room + bytes);
            self.protocol.resume(stream, bytes, &mut self.out);
        }
    }

    /// Fails the calls for which `late` returns an error. It is told whether the response has begun, and
    /// when the connection has read something last.
    pub(super) fn expire(
        &mut self,
        late: impl Fn(&Call<P::Client>, bool, Instant) -> Option<FetchError>,
        happened: &mut Happened<P::Client>,
    ) -> Next {
        let heard = self.heard;
        let late = |call: &Call<P::Client>, has_begun| late(call, has_begun, heard);
        self.protocol.expire(late, heard, &mut self.out, happened)
    }
}

/// Returns the error of calls whose connection broke.
pub(super) fn broken(error: &io::Error) -> FetchError {
    let detail = format!("The connection to the API broke ({error}).");
    FetchError::new(ErrorName::ConnectionTerminated, detail)
}

fn not_reached() -> FetchError {
    let detail = "The connection to the API ended before the request was answered.";
    FetchError::new(ErrorName::ConnectionTerminated, detail)
}
