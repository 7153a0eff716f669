//! The writing half of a socket: frames become messages, several to each.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fetchway_service::Place;
use fetchway_wire::v1::session::FILL;
use fetchway_ws::{MAX_HEADER, Opcode, put_frame, seal, write_within};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::session::{Session, now};
use crate::observe::SessionObserver;

/// Room for a message at first, so that it does not grow frame by frame.
const ROOM: usize = 4 << 10;

/// One socket of a session.
#[derive(Default)]
pub(crate) struct Socket {
    /// There is something to write.
    pub(super) changed: Notify,
    control: Mutex<Control>,
    /// The writer has bytes that the socket does not take.
    blocked: AtomicBool,
    /// Its place among the sockets without a session, once it has been replaced.
    place: Mutex<Option<Place>>,
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

    /// Keeps a place until the socket has ended.
    pub(super) fn keep(&self, place: Option<Place>) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
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
        write_within(&mut io, &bytes, stall).await?;
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
        if !state.is_on(socket) {
            return;
        }
        // Most messages fit. The header goes before, when the length is known.
        bytes.reserve(ROOM);
        bytes.extend_from_slice(&[0; MAX_HEADER]);
        let most = begun + MAX_HEADER + FILL;
        state.machine.transmit(now(), bytes, most);
        state.machine.take_wakers()
    };
    wakers.into_iter().for_each(std::task::Waker::wake);
    seal(bytes, begun, Opcode::Binary, None);
}
