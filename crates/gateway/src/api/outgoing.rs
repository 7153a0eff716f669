//! Bytes that wait to be written to a connection.

use std::io::{self, ErrorKind, Write as _};
use std::net::TcpStream;

/// Bytes of room that an empty buffer keeps.
const KEPT: usize = 16 << 10;

/// The bytes that the system has not taken yet, and how many it has.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Pending from `taken` on.
    pub(super) bytes: Vec<u8>,
    taken: usize,
    /// All bytes that the system has taken.
    pub(super) written: u64,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the position of the next byte among all of the connection.
    pub(super) fn position(&self) -> u64 {
        self.written + (self.bytes.len() - self.taken) as u64
    }

    /// Writes what the system takes.
    pub(super) fn flush(&mut self, tcp: &mut TcpStream) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let written = write(tcp, &self.bytes[self.taken..])?;
        self.written += written as u64;
        self.taken += written;
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
            self.taken = 0;
        }
        Ok(())
    }
}

/// Writes what the system takes, and returns how much that is.
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
