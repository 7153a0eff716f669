//! Reading events from one half of a socket, and writing bytes to the other within a time.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::decode::{Decoder, Event};

/// Capacity that is reserved for one read, in bytes.
const READ: usize = 16 << 10;

/// Reads events from a socket. The one buffer is released whenever it is empty.
#[derive(Debug)]
pub struct Receiver<R> {
    io: R,
    buffer: BytesMut,
    decoder: Decoder,
    received: u64,
}

impl<R: AsyncRead + Unpin> Receiver<R> {
    /// Creates a receiver. `buffer` holds bytes that were read after the handshake.
    pub fn new(io: R, buffer: BytesMut, decoder: Decoder) -> Self {
        Self {
            io,
            buffer,
            decoder,
            received: 0,
        }
    }

    /// Returns the number of bytes received since the last call.
    pub fn take_received(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }

    /// Returns the next event if the bytes read so far contain one.
    pub fn ready(&mut self) -> io::Result<Option<Event>> {
        self.decoder
            .decode(&mut self.buffer)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }

    /// Reads and drops events until the peer sends Close or the connection ends.
    pub async fn until_close(&mut self) {
        while let Ok(Some(event)) = self.next().await {
            if matches!(event, Event::Close(..)) {
                return;
            }
        }
    }

    /// Waits for the next event; `None` when the peer has closed the connection. Cancel safe.
    ///
    /// A violation of the protocol is an error of kind `InvalidData` that wraps a
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

/// Writes all `bytes`.
///
/// # Errors
/// Errors of the socket, and `TimedOut` if the socket accepts nothing for `stall`.
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
