//! A client's socket, plain or with TLS. The socket needs no task: it is read and written directly.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd as _, RawFd};

use rustls::ServerConnection;

/// A socket that never blocks: a call that would block fails with `WouldBlock`.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

pub(crate) struct Tls {
    tcp: TcpStream,
    session: ServerConnection,
}

impl Socket {
    pub(crate) fn tls(tcp: TcpStream, mut session: ServerConnection) -> Self {
        // What waits to be written is bounded by whoever writes.
        session.set_buffer_limit(None);
        Self::Tls(Box::new(Tls { tcp, session }))
    }

    pub(crate) fn fd(&self) -> RawFd {
        match self {
            Self::Plain(tcp) => tcp.as_raw_fd(),
            Self::Tls(tls) => tls.tcp.as_raw_fd(),
        }
    }

    /// Returns true if a read that fills less than it was given has taken everything that has come.
    pub(crate) fn short_is_empty(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Reads what has come. Zero bytes mean that the client has ended its side.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Plain(tcp) => tcp.read(into),
                Self::Tls(tls) => tls.read(into),
            };
            match read {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Writes what the system takes, and returns how much of `bytes` that is. With TLS a last piece may be
    /// taken that the system has not: see [`Socket::is_blocked`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            let written = match self {
                Self::Plain(tcp) => tcp.write(&bytes[taken..]),
                Self::Tls(tls) => tls.write(&bytes[taken..]),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => taken += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(taken)
    }

    /// Returns true if the socket may hold bytes that the system has given and nobody has read yet.
    pub(crate) fn reads_ahead(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Writes what the system has not taken yet. Returns true if it has taken some of it now.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(false),
            Self::Tls(tls) => tls.flush(),
        }
    }

    /// Returns true if encrypted bytes wait for the system.
    pub(crate) fn is_blocked(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.session.wants_write())
    }

    /// Ends our side. Nothing more is written, and what the client still sends is not answered.
    pub(crate) fn close(&mut self) {
        if let Self::Tls(tls) = self {
            tls.session.send_close_notify();
            // The peer may be gone: closing goes on all the same.
            let _ = tls.flush();
        }
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &tls.tcp,
        };
        let _ = tcp.shutdown(Shutdown::Write);
    }
}

impl Tls {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(into) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // A peer that just ends is as gone as one that says so: WebSocket has its own Close.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            if self.session.read_tls(&mut self.tcp)? == 0 {
                return Ok(0);
            }
            let broken = |e| io::Error::new(io::ErrorKind::InvalidData, e);
            self.session.process_new_packets().map_err(broken)?;
            // Alerts, key updates.
            self.flush()?;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.session.wants_write() {
            // One piece at a time waits here; the rest waits where it is counted.
            self.flush()?;
            if self.session.wants_write() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        let n = self.session.writer().write(bytes)?;
        self.flush()?;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<bool> {
        let mut some = false;
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.tcp) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => some = true,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(some)
    }
}
