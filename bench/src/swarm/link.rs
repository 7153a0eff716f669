//! One non-blocking socket, with or without TLS.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Socket, Type};

/// Bytes of a segment on most networks; also the receive buffer of a socket that imitates a remote one, which
/// the kernel doubles.
const NETWORK_SEGMENT: u32 = 1_460;
const NETWORK_BUFFER: usize = 8 << 10;

/// Protocol of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// A handshake, then frames.
    WebSocket,
    /// Requests and answers, one after the other.
    Http,
}

/// State of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    /// The handshake was sent, and its answer has not arrived.
    Asking,
    Open,
}

/// One socket. Between messages, no buffer is allocated.
pub(super) struct Link {
    pub(super) stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    pub(super) speaks: Speaks,
    pub(super) phase: Phase,
    /// True if the socket is not read.
    paused: bool,
    /// Bytes that the socket has not accepted yet.
    unsent: Vec<u8>,
    /// Bytes of an incomplete frame or answer.
    pub(super) partial: Vec<u8>,
}

impl Link {
    /// Starts to connect; `first` is sent once the socket is connected.
    ///
    /// With `as_afar`, the socket receives like a remote one: in small segments, with a small buffer. Segments
    /// on loopback have 64 KiB, and the server's kernel holds megabytes of them, so that the server would
    /// hardly notice that the client does not read.
    pub(super) fn connect(
        to: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        speaks: Speaks,
        first: Vec<u8>,
        as_afar: bool,
    ) -> anyhow::Result<Self> {
        let tls = match tls {
            None => None,
            Some(config) => {
                let name = ServerName::from(to.ip());
                let mut tls = ClientConnection::new(Arc::clone(config), name)?;
                tls.set_buffer_limit(None);
                Some(Box::new(tls))
            }
        };
        Ok(Self {
            stream: if as_afar {
                connect_as_afar(to)?
            } else {
                TcpStream::connect(to)?
            },
            tls,
            speaks,
            phase: Phase::Connecting,
            paused: false,
            unsent: first,
            partial: Vec::new(),
        })
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Returns true once the socket is connected.
    pub(super) fn connected(&mut self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(error),
        }
        self.stream.set_nodelay(true)?;
        self.phase = match self.speaks {
            Speaks::WebSocket => Phase::Asking,
            Speaks::Http => Phase::Open,
        };
        let first = std::mem::take(&mut self.unsent);
        self.write(&first)?;
        Ok(true)
    }

    /// Stops or resumes reading.
    pub(super) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Sends bytes; those that the socket does not accept now are kept.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(bytes)?;
            return self.flush();
        }
        let mut taken = 0;
        if self.unsent.is_empty() {
            taken = written(self.stream.write(bytes))?;
        }
        if taken < bytes.len() {
            self.unsent.extend_from_slice(&bytes[taken..]);
        }
        Ok(())
    }

    /// Sends the bytes that were kept.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() && written(tls.write_tls(&mut self.stream))? > 0 {}
            return Ok(());
        }
        if self.unsent.is_empty() {
            return Ok(());
        }
        let taken = written(self.stream.write(&self.unsent))?;
        if taken == self.unsent.len() {
            self.unsent = Vec::new();
        } else {
            self.unsent.drain(..taken);
        }
        Ok(())
    }

    /// Reads into `buffer`; returns the number of bytes, and whether more may be available. `None` at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<(usize, bool)>> {
        let Some(tls) = &mut self.tls else {
            return match self.stream.read(buffer) {
                Ok(0) => Ok(None),
                // A short read has emptied the socket; later bytes cause a new event.
                Ok(n) => Ok(Some((n, n == buffer.len()))),
                Err(error) if is_early(&error) => Ok(Some((0, false))),
                Err(error) => Err(error),
            };
        };
        loop {
            match tls.reader().read(buffer) {
                Ok(0) => return Ok(None),
                Ok(n) => return Ok(Some((n, true))),
                Err(error) if is_early(&error) => {}
                Err(error) => return Err(error),
            }
            match tls.read_tls(&mut self.stream) {
                Ok(0) => return Ok(None),
                Ok(_) => {
                    let processed = tls.process_new_packets();
                    processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                    while tls.wants_write() && written(tls.write_tls(&mut self.stream))? > 0 {}
                }
                Err(error) if is_early(&error) => return Ok(Some((0, false))),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Connects with a small segment size and receive buffer, which must be set before TCP's handshake announces
/// them.
fn connect_as_afar(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_mss(NETWORK_SEGMENT)?;
    socket.set_recv_buffer_size(NETWORK_BUFFER)?;
    match socket.connect(&to.into()) {
        // The kernel continues by itself.
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        done => done?,
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// Returns true if the operation would block or was interrupted.
fn is_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn written(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if is_early(&error) => Ok(0),
        other => other,
    }
}
