//! The writing half of a socket: several frames become one message.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use fetchway_wire::v1::session::FILL;
use fetchway_ws::{MAX_HEADER, Opcode, put_frame, seal, write_within};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::session::{Session, now};
use super::socket::Socket;
use crate::observe::SessionObserver;

/// Initial capacity of a message, so that the buffer does not grow frame by frame.
const ROOM: usize = 4 << 10;

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
        socket.set_blocked(true);
        write_within(&mut io, &bytes, stall).await?;
        socket.set_blocked(false);
        observer.bytes_out(bytes.len() as u64);
        if close.is_some() {
            return io.shutdown().await;
        }
    }
}

/// Writes Pong and Ping frames. Returns the payload of a Close frame, if one was requested.
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

/// Writes one message, if there are frames for it and the session is still on this socket.
fn messages(session: &Session, socket: &Arc<Socket>, bytes: &mut BytesMut) {
    let begun = bytes.len();
    let wakers = {
        let mut state = session.lock();
        if !state.is_on(socket) {
            return;
        }
        // Most messages fit. `seal` fills in the header when the length is known.
        bytes.reserve(ROOM);
        bytes.extend_from_slice(&[0; MAX_HEADER]);
        let most = begun + MAX_HEADER + FILL;
        state.machine.transmit(now(), bytes, most);
        state.machine.take_wakers()
    };
    wakers.into_iter().for_each(std::task::Waker::wake);
    seal(bytes, begun, Opcode::Binary, None);
}
