//! Drives one open socket: a reader and a writer side by side, neither waiting for the other, and a watch
//! for a relay that is silent for too long.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use fetchway_ws::{Decoder, Event, ProtocolError, Receiver, Role};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

use super::dial::Io;
use super::session::{Session, SessionState};
use super::socket::Socket;

/// Maximum time to write a Close, and to wait for the relay's Close after that.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes above which an idle writer frees its buffer.
const KEEP_BUFFER: usize = 16 << 10;

/// How a socket ended.
#[derive(Debug)]
pub(super) enum SocketEnd {
    /// The client closed it, as no fetch was left.
    Closed,
    /// The socket was lost. A binary session may be resumed on another one.
    Lost(String),
    /// The session ended with the socket.
    SessionOver(String),
}

/// When the writer has something to write.
pub(super) enum Work {
    Now,
    /// At this time, or earlier if the writer is woken.
    At(Instant),
}

/// How a session reads from and writes to its socket, in one of the encodings.
pub(super) trait Protocol: SessionState + Send + Sized {
    /// Maximum size of a received message, in bytes.
    const MAX_MESSAGE: usize;

    /// Waits until more may be read.
    fn poll_may_read(_session: &Session<Self>, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Handles `first`, and all events behind it that have already been received.
    fn receive<R: AsyncRead + Unpin>(
        session: &Session<Self>,
        first: Event,
        receiver: &mut Receiver<R>,
    ) -> Option<SocketEnd>;

    /// Returns when there is something to write. If not now, `waker` is woken when there is.
    fn work(session: &Session<Self>, waker: &Waker) -> Work;

    /// Appends WebSocket frames to be written. Returns true if the last of them is a Close.
    fn fill(session: &Session<Self>, out: &mut BytesMut) -> bool;
}

/// Drives a socket until it ends. `buffered`: bytes that were received behind the handshake.
pub(super) async fn drive<P: Protocol>(
    session: &Session<P>,
    io: Io,
    buffered: BytesMut,
) -> SocketEnd {
    match io {
        Io::Plain(mut tcp) => {
            let (read, write) = tcp.split();
            drive_halves(session, read, write, buffered).await
        }
        Io::Tls(tls) => {
            let (read, write) = tokio::io::split(tls);
            drive_halves(session, read, write, buffered).await
        }
    }
}

async fn drive_halves<P: Protocol>(
    session: &Session<P>,
    read: impl AsyncRead + Unpin,
    write: impl AsyncWrite + Unpin,
    buffered: BytesMut,
) -> SocketEnd {
    let received = AtomicU64::new(0);
    let read = Counted {
        io: read,
        received: &received,
    };
    let mut reading = pin!(read_loop(session, read, buffered));
    let mut writing = pin!(write_loop(session, write));
    // The reader is polled first, so that the writer sees in the same poll what the reader queued.
    let end = tokio::select! {
        biased;
        end = &mut reading => end,
        written = &mut writing => match written {
            // Only the relay's Close, or the end of the connection, is still expected.
            Ok(()) => {
                let answered = tokio::time::timeout(CLOSE_TIMEOUT, reading).await;
                tracing::trace!(answered = answered.is_ok(), "socket closed");
                return SocketEnd::Closed;
            }
            Err(error) => return SocketEnd::Lost(format!("the connection failed ({error})")),
        },
        silence = wait_for_silence(session, &received) => return SocketEnd::Lost(silence),
    };
    if with_socket(session, |socket| socket.is_closing()) {
        // The Close tells the relay why. The socket ends whether it can be written or not.
        let written = tokio::time::timeout(CLOSE_TIMEOUT, writing).await;
        tracing::trace!(written = written.is_ok(), "close frame written");
    }
    end
}

async fn read_loop<P: Protocol>(
    session: &Session<P>,
    read: impl AsyncRead + Unpin,
    buffered: BytesMut,
) -> SocketEnd {
    let decoder = Decoder::new(Role::Client, P::MAX_MESSAGE);
    let mut receiver = Receiver::new(read, buffered, decoder);
    loop {
        std::future::poll_fn(|cx| P::poll_may_read(session, cx)).await;
        let end = match receiver.next().await {
            Ok(Some(event)) => P::receive(session, event, &mut receiver),
            Ok(None) => Some(SocketEnd::Lost(
                "the relay closed the connection".to_owned(),
            )),
            Err(error) => Some(read_failed(session, &error)),
        };
        if let Some(end) = end {
            return end;
        }
    }
}

/// Returns how the socket ends after a failed read, and queues a Close if the relay broke the WebSocket
/// protocol.
pub(super) fn read_failed<P: Protocol>(session: &Session<P>, error: &io::Error) -> SocketEnd {
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<ProtocolError>()) {
        Some(broken) => {
            with_socket(session, |socket| socket.close(broken.code, broken.reason));
            SocketEnd::SessionOver(broken.to_string())
        }
        None => SocketEnd::Lost(format!("the connection failed ({error})")),
    }
}

fn with_socket<P: Protocol, T>(session: &Session<P>, act: impl FnOnce(&mut Socket) -> T) -> T {
    act(&mut session.lock().core_mut().socket)
}

async fn write_loop<P: Protocol>(
    session: &Session<P>,
    mut io: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut out = BytesMut::new();
    let mut timer = Timer {
        sleep: pin!(tokio::time::sleep(Duration::ZERO)),
        armed: None,
    };
    loop {
        std::future::poll_fn(|cx| timer.poll_work(session, cx)).await;
        // Let other tasks run first: frames that become ready together share a system call.
        tokio::task::yield_now().await;
        out.clear();
        let closed = P::fill(session, &mut out);
        io.write_all(&out).await?;
        io.flush().await?;
        if closed {
            return io.shutdown().await;
        }
        if out.capacity() > KEEP_BUFFER && out.len() < KEEP_BUFFER {
            out = BytesMut::new();
        }
    }
}

/// A timer that is only ever moved to an earlier time: one that fires too early costs a check for work,
/// which is cheaper than moving the timer with every message.
struct Timer<'a> {
    sleep: Pin<&'a mut Sleep>,
    armed: Option<Instant>,
}

impl Timer<'_> {
    fn poll_work<P: Protocol>(&mut self, session: &Session<P>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Work::At(at) = P::work(session, cx.waker()) else {
                return Poll::Ready(());
            };
            if self.armed.is_none_or(|armed| at < armed) {
                self.sleep.as_mut().reset(at.into());
                self.armed = Some(at);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.armed = None;
        }
    }
}

/// Waits until the relay has been silent for too long. Returns what happened.
async fn wait_for_silence<P: Protocol>(session: &Session<P>, received: &AtomicU64) -> String {
    let dead_at = || with_socket(session, |socket| socket.dead_at(session.liveness));
    loop {
        let (at, before) = (dead_at(), received.load(Ordering::Relaxed));
        tokio::time::sleep_until(at.into()).await;
        if at != dead_at() {
            continue;
        }
        let paused = with_socket(session, |socket| socket.is_read_paused());
        if before == received.load(Ordering::Relaxed) && !paused {
            return "nothing was received from the relay for too long".to_owned();
        }
        // Bytes of a message that takes long to arrive are no silence.
        with_socket(session, |socket| socket.note_received(Instant::now()));
    }
}

/// Counts the bytes that are read.
struct Counted<'a, R> {
    io: R,
    received: &'a AtomicU64,
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<'_, R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        let came = (buf.filled().len() - before) as u64;
        self.received.fetch_add(came, Ordering::Relaxed);
        read
    }
}
