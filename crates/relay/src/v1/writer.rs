//! The writing half of a socket: frames become messages, several to each.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::MAX_MESSAGE;
use fetchway_ws::{Header, Opcode, put_frame};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::session::{Session, now};
use crate::observe::SessionObserver;

/// A message is filled up to here; the last frame, of 16 KiB at most, may pass it.
const FILL: usize = MAX_MESSAGE - (17 << 10);

/// Bytes of a server's header before a message of up to 64 KiB.
const HEADER: usize = 4;

/// One socket of a session.
#[derive(Default)]
pub(crate) struct Socket {
    /// There is something to write.
    pub(super) changed: Notify,
    control: Mutex<Control>,
    /// The writer has bytes that the socket does not take.
    blocked: AtomicBool,
}

#[derive(Default)]
struct Control {
    pong: Option<Bytes>,
    ping: bool,
    close: Option<Vec<u8>>,
}

impl Socket {
    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, put: impl FnOnce(&mut Control)) {
        put(&mut self.control());
        self.changed.notify_one();
    }

    pub(super) fn pong(&self, payload: Bytes) {
        self.put(|control| control.pong = Some(payload));
    }

    pub(super) fn ping(&self) {
        self.put(|control| control.ping = true);
    }

    /// The last thing to be written; the first one given stays.
    pub(super) fn close(&self, payload: Vec<u8>) {
        self.put(|control| {
            control.close.get_or_insert(payload);
        });
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }
}

/// Writes until a Close frame has been written or the socket fails. A socket that takes nothing for
/// `stall` fails with `TimedOut`.
pub(super) async fn write<W: AsyncWrite + Unpin>(
    mut io: W,
    session: Arc<Session>,
    socket: Arc<Socket>,
    stall: Duration,
    observer: Arc<dyn SessionObserver>,
) -> io::Result<()> {
    loop {
        let mut bytes = BytesMut::new();
        let close = controls(&socket, &mut bytes);
        messages(&session, &socket, &mut bytes);
        if let Some(close) = &close {
            put_frame(&mut bytes, Opcode::Close, close, None);
        }
        if bytes.is_empty() {
            // An idle session keeps no buffer.
            drop(bytes);
            socket.changed.notified().await;
            // Fetches that have become ready at the same time end first, and share the system call.
            tokio::task::yield_now().await;
            continue;
        }
        socket.blocked.store(true, Ordering::Relaxed);
        let mut left = &bytes[..];
        while !left.is_empty() {
            match tokio::time::timeout(stall, io.write(left)).await?? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => left = &left[n..],
            }
        }
        tokio::time::timeout(stall, io.flush()).await??;
        socket.blocked.store(false, Ordering::Relaxed);
        observer.bytes_out(bytes.len() as u64);
        if close.is_some() {
            return io.shutdown().await;
        }
    }
}

/// Puts pong and ping; gives the Close payload, if it is time for it.
fn controls(socket: &Socket, bytes: &mut BytesMut) -> Option<Vec<u8>> {
    let mut control = socket.control();
    if let Some(payload) = control.pong.take() {
        put_frame(bytes, Opcode::Pong, &payload, None);
    }
    if std::mem::take(&mut control.ping) {
        put_frame(bytes, Opcode::Ping, b"", None);
    }
    control.close.take()
}

/// Puts one message, if there are frames for it and the session is still on this socket.
fn messages(session: &Session, socket: &Arc<Socket>, bytes: &mut BytesMut) {
    let begun = bytes.len();
    let wakers = {
        let mut state = session.lock();
        if !state
            .socket
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, socket))
        {
            return;
        }
        // The header goes before, when the length is known.
        bytes.extend_from_slice(&[0; HEADER]);
        state.machine.transmit(now(), bytes, begun + FILL);
        state.machine.take_wakers()
    };
    wakers.into_iter().for_each(std::task::Waker::wake);
    let len = bytes.len() - begun - HEADER;
    if len == 0 {
        bytes.truncate(begun);
        return;
    }
    let header = Header {
        fin: true,
        opcode: Opcode::Binary,
        len: len as u64,
        mask: None,
    };
    let mut head = BytesMut::with_capacity(HEADER);
    header.put(&mut head);
    let unused = HEADER - head.len();
    if begun == 0 {
        let _ = bytes.split_to(unused);
    } else {
        // Behind a control frame: rare, so what follows is moved.
        let message = bytes.split_off(begun + HEADER);
        bytes.truncate(begun + head.len());
        bytes.extend_from_slice(&message);
    }
    bytes[begun..begun + head.len()].copy_from_slice(&head);
}
