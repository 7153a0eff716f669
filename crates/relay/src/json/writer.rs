//! The writing half of a session: one system call writes the frames of several answers.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::{io, mem};

use bytes::BytesMut;
use fetchway_fetch::Hold;
use fetchway_wire::json::Encoder;
use fetchway_ws::{Header, Opcode, put_frame, write_within};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::outbox::{Batch, Outbox, Waiting};
use crate::observe::SessionObserver;

/// Bytes written to the socket at a time. A large answer is encoded in pieces of this size.
const CHUNK: usize = 64 << 10;

/// Writes until a Close frame has been written or the socket fails. A socket that takes nothing for
/// `stall` fails with `TimedOut`.
pub(crate) async fn write<W: AsyncWrite + Unpin>(
    io: W,
    outbox: &Outbox,
    stall: Duration,
    observer: &dyn SessionObserver,
) -> io::Result<()> {
    let mut writer = Writer {
        io,
        outbox,
        stall,
        observer,
        bytes: BytesMut::new(),
        written: Vec::new(),
        loose: 0,
    };
    loop {
        let Batch {
            answers,
            pong,
            ping,
            close,
        } = outbox.take().await;
        if let Some(payload) = pong {
            put_frame(&mut writer.bytes, Opcode::Pong, &payload, None);
        }
        if ping {
            put_frame(&mut writer.bytes, Opcode::Ping, b"", None);
        }
        writer.answers(answers).await?;
        if let Some(payload) = &close {
            put_frame(&mut writer.bytes, Opcode::Close, payload, None);
        }
        writer.flush().await?;
        if close.is_some() {
            return writer.io.shutdown().await;
        }
    }
}

struct Writer<'a, W> {
    io: W,
    outbox: &'a Outbox,
    stall: Duration,
    observer: &'a dyn SessionObserver,
    /// Encoded bytes that are not written yet.
    bytes: BytesMut,
    /// Reservations of the answers whose last byte is in `bytes`.
    written: Vec<Hold>,
    loose: usize,
}

impl<W: AsyncWrite + Unpin> Writer<'_, W> {
    async fn answers(&mut self, answers: VecDeque<Waiting>) -> io::Result<()> {
        for waiting in answers {
            self.loose += waiting.loose();
            let hold = waiting.hold;
            let mut encoder = waiting.answer.encoder();
            Header {
                fin: true,
                opcode: Opcode::Text,
                len: encoder.len() as u64,
                mask: None,
            }
            .put(&mut self.bytes);
            while self.piece(&mut encoder) {
                self.flush().await?;
            }
            self.written.extend(hold);
            if self.bytes.len() >= CHUNK {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Encodes as much as fits. Returns true if more is left.
    fn piece(&mut self, encoder: &mut Encoder) -> bool {
        let room = CHUNK.saturating_sub(self.bytes.len()).max(1 << 10);
        encoder.write(&mut self.bytes, room)
    }

    async fn flush(&mut self) -> io::Result<()> {
        let total = self.bytes.len() as u64;
        self.outbox.blocked.store(true, Ordering::Relaxed);
        write_within(&mut self.io, &self.bytes, self.stall).await?;
        self.outbox.blocked.store(false, Ordering::Relaxed);
        self.observer.bytes_out(total);
        // An idle session keeps no buffer.
        self.bytes = BytesMut::new();
        self.written.clear();
        if self.loose > 0 {
            self.outbox.written(mem::take(&mut self.loose));
        }
        Ok(())
    }
}
