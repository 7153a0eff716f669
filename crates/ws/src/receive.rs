//! A socket's halves: events from one, bytes within a time to the other.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::decode::{Decoder, Event};

/// Bytes asked of the socket at a time.
const READ: usize = 16 << 10;

/// Reads events from a socket. It owns one buffer, let go whenever nothing is in it.
#[derive(Debug)]
pub struct Receiver<R> {
    io: R,
    buffer: BytesMut,
    decoder: Decoder,
    received: u64,
}

impl<R: AsyncRead + Unpin> Receiver<R> {
    /// `buffer` holds what was read beyond the handshake.
    pub fn new(io: R, buffer: BytesMut, decoder: Decoder) -> Self {
        Self {
            io,
            buffer,
            decoder,
            received: 0,
        }
    }

    /// Bytes received since this was last asked.
    pub fn take_received(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }

    /// The next event that needs no waiting, if the bytes read so far hold one.
    pub fn ready(&mut self) -> io::Result<Option<Event>> {
        self.decoder
            .decode(&mut self.buffer)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }

    /// Reads on for nothing but the peer's Close or its end.
    pub async fn until_close(&mut self) {
        while let Ok(Some(event)) = self.next().await {
            if matches!(event, Event::Close(..)) {
                return;
            }
        }
    }

    /// The next event; `None` when the peer is gone. Safe to drop and call again.
    ///
    /// A breach of the protocol is an error of kind `InvalidData` that carries a
    /// [`ProtocolError`](crate::ProtocolError).
    pub async fn next(&mut self) -> io::Result<Option<Event>> {
        loop {
            if let Some(event) = self.ready()? {
                return Ok(Some(event));
            }
            if self.buffer.is_empty() {
                // Between messages: don't keep a large message's allocation for an idle socket.
                self.buffer = BytesMut::new();
            }
            self.buffer.reserve(READ);
            match self.io.read_buf(&mut self.buffer).await? {
                0 => return Ok(None),
                n => self.received += n as u64,
            }
        }
    }
}

/// Writes all of `bytes`.
///
/// # Errors
/// Those of the socket; `TimedOut` for one that takes nothing for `stall`.
pub async fn write_within<W: AsyncWrite + Unpin>(
    io: &mut W,
    mut bytes: &[u8],
    stall: Duration,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match tokio::time::timeout(stall, io.write(bytes)).await?? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => bytes = &bytes[n..],
        }
    }
    tokio::time::timeout(stall, io.flush()).await?
}
