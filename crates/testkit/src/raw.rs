//! A WebSocket written by hand: frames that no library would send.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use std::net::SocketAddr;

use crate::PATIENCE;

/// The key of every frame sent. Real clients draw a new one each time; nothing here depends on it.
const MASK: [u8; 4] = [0x5A, 0xC3, 0x0F, 0x96];

/// One frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// The first byte: FIN, reserved bits, opcode.
    pub first: u8,
    /// The payload.
    pub payload: Vec<u8>,
}

impl RawFrame {
    /// The code of a Close frame.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        let code = [*self.payload.first()?, *self.payload.get(1)?];
        (self.first == 0x88).then(|| u16::from_be_bytes(code))
    }
}

/// One open WebSocket.
#[derive(Debug)]
pub struct Raw(TcpStream);

impl Raw {
    /// Connects with the request line's `target` and further header lines, each with its line end.
    ///
    /// # Panics
    /// If the server does not answer 101.
    pub async fn connect(addr: SocketAddr, target: &str, lines: &str) -> (Self, String) {
        let stream = TcpStream::connect(addr).await.expect("the server accepts");
        Self::connect_on(stream, &[], target, lines, &[]).await
    }

    /// The same on a connection whose first bytes are `before`, and with `early` sent along with the
    /// request.
    ///
    /// # Panics
    /// If the server does not answer 101.
    pub async fn connect_on(
        mut stream: TcpStream,
        before: &[u8],
        target: &str,
        lines: &str,
        early: &[u8],
    ) -> (Self, String) {
        let host = stream.peer_addr().expect("it is connected");
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
        );
        stream
            .write_all(&[before, request.as_bytes(), early].concat())
            .await
            .expect("the request is sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a whole header"));
        }
        let head = String::from_utf8(head).expect("a text");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        (Self(stream), head)
    }

    /// Sends one masked frame whose first byte is `first`.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn send(&mut self, first: u8, payload: &[u8]) {
        self.bytes(&masked(first, payload)).await;
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the relay reads");
    }

    /// The same, or gives false if the connection is gone.
    pub async fn try_bytes(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// The next frame, or nothing when the connection has ended.
    ///
    /// # Panics
    /// If neither comes.
    pub async fn frame(&mut self) -> Option<RawFrame> {
        let frame = tokio::time::timeout(PATIENCE, self.read());
        frame.await.expect("a frame or the end")
    }

    async fn read(&mut self) -> Option<RawFrame> {
        let first = self.0.read_u8().await.ok()?;
        let len = match self.0.read_u8().await.ok()? {
            126 => u64::from(self.0.read_u16().await.ok()?),
            127 => self.0.read_u64().await.ok()?,
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(len).ok()?];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(RawFrame { first, payload })
    }
}

/// One masked frame.
#[must_use]
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | u8::try_from(len).expect("short")),
        len @ 126..=0xFFFF => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(len).expect("two bytes").to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}
