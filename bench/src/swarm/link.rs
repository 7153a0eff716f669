//! One socket that is never waited for, with or without TLS.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Socket, Type};

/// Bytes of a segment on most networks, and of the receive buffer of a socket that is to be like one
/// there; the kernel doubles it.
const NETWORK_SEGMENT: u32 = 1_460;
const NETWORK_BUFFER: usize = 8 << 10;

/// What is spoken over a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// A handshake, then frames.
    WebSocket,
    /// Requests and answers, one at a time.
    Http,
}

/// How far a socket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    /// The handshake is on its way.
    Asking,
    Open,
}

/// One socket. Between messages it holds no buffer.
pub(super) struct Link {
    pub(super) stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    pub(super) speaks: Speaks,
    pub(super) phase: Phase,
    /// It is not read.
    paused: bool,
    /// What the socket has not taken yet.
    unsent: Vec<u8>,
    /// What came and is not whole yet.
    pub(super) partial: Vec<u8>,
}

impl Link {
    /// Begins to connect; `first` is sent as soon as it is connected.
    ///
    /// `as_afar` has it take what comes as a socket far away would: in small segments, and not much ahead
    /// of what is read. Loopback's are of 64 KiB, and the server's kernel holds megabytes of them, so that
    /// the server would hardly feel that nobody reads.
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

    /// Whether the socket has connected by now.
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

    /// Sends; what the socket does not take now waits.
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

    /// Goes on sending what waits.
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

    /// Reads into `buffer`: how much, and whether there may be more at once. `None` at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<(usize, bool)>> {
        let Some(tls) = &mut self.tls else {
            return match self.stream.read(buffer) {
                Ok(0) => Ok(None),
                // A short read has emptied the socket: what comes later is a new event.
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

/// Both must be set before the handshake tells the server of them.
fn connect_as_afar(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_mss(NETWORK_SEGMENT)?;
    socket.set_recv_buffer_size(NETWORK_BUFFER)?;
    match socket.connect(&to.into()) {
        // It goes on by itself.
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        done => done?,
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// Nothing to be done now.
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
