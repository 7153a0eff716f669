//! One open socket: a reader and a writer side by side, neither waiting for the other, and a watch
//! over the relay's silence.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use fetchway_ws::{Decoder, Event, Receiver, Role};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

use super::dial::Io;
use super::socket::{Liveness, Socket};

/// How long a Close may take to be written, and how long we wait for the relay's after ours.
const CLOSING: Duration = Duration::from_secs(1);

/// A buffer that grew beyond this is let go when the writer has nothing to do.
const KEEP_BUFFER: usize = 16 << 10;

/// How the way over a socket ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// We closed it, as nothing was left to do.
    Closed,
    /// The socket is gone: a session may outlive it.
    Lost(String),
    /// The session is over, or there was none.
    Over(String),
}

/// When the writer has something to do.
pub(super) enum Work {
    Now,
    /// Then, or when it is woken.
    At(Instant),
}

/// What speaks over a socket, in one of the encodings.
pub(super) trait Peer: Sync {
    /// Bytes of the longest message that is read.
    const MAX_MESSAGE: usize;

    /// Ready when more may be read; `cx` is woken when it may.
    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }

    /// Takes `first` and all events behind it that need no waiting.
    fn take<R: AsyncRead + Unpin>(&self, first: Event, receiver: &mut Receiver<R>)
    -> Option<Ended>;

    /// Whether there is something to write. If not, `waker` is woken when there is.
    fn work(&self, waker: &Waker) -> Work;

    /// Appends WebSocket frames to be written. Returns whether a Close is the last of them.
    fn fill(&self, out: &mut BytesMut) -> bool;

    /// Does something with the control side of the socket.
    fn socket<T>(&self, act: impl FnOnce(&mut Socket) -> T) -> T;

    /// How long the relay may be silent.
    fn liveness(&self) -> Liveness;
}

/// Runs a socket until it ends.
pub(super) async fn drive<P: Peer>(peer: &P, io: Io, rest: BytesMut) -> Ended {
    match io {
        Io::Plain(mut tcp) => {
            let (read, write) = tcp.split();
            both(peer, read, write, rest).await
        }
        Io::Tls(tls) => {
            let (read, write) = tokio::io::split(tls);
            both(peer, read, write, rest).await
        }
    }
}

async fn both<P: Peer>(
    peer: &P,
    read: impl AsyncRead + Unpin,
    write: impl AsyncWrite + Unpin,
    rest: BytesMut,
) -> Ended {
    let received = AtomicU64::new(0);
    let read = Counted {
        io: read,
        received: &received,
    };
    let mut reading = pin!(reading(peer, read, rest));
    let mut writing = pin!(writing(peer, write));
    // The reader first: what it finds to be sent is then seen by the writer in the same turn.
    let ended = tokio::select! {
        biased;
        ended = &mut reading => ended,
        written = &mut writing => match written {
            // The relay's Close, or the end of the stream, is all that can be wanted now.
            Ok(()) => {
                let answered = tokio::time::timeout(CLOSING, reading).await;
                tracing::trace!(answered = answered.is_ok(), "closed");
                return Ended::Closed;
            }
            Err(error) => return Ended::Lost(format!("the connection failed ({error})")),
        },
        silence = silent(peer, &received) => return Ended::Lost(silence),
    };
    if peer.socket(|socket| socket.is_closing()) {
        // The socket is given up whether the relay still hears this or not.
        let written = tokio::time::timeout(CLOSING, writing).await;
        tracing::trace!(written = written.is_ok(), "said why");
    }
    ended
}

async fn reading<P: Peer>(peer: &P, read: impl AsyncRead + Unpin, rest: BytesMut) -> Ended {
    let decoder = Decoder::new(Role::Client, P::MAX_MESSAGE);
    let mut receiver = Receiver::new(read, rest, decoder);
    loop {
        std::future::poll_fn(|cx| peer.poll_read(cx)).await;
        let ended = match receiver.next().await {
            Ok(Some(event)) => peer.take(event, &mut receiver),
            Ok(None) => Some(Ended::Lost("the relay closed the connection".to_owned())),
            Err(error) => Some(failed(peer, &error)),
        };
        if let Some(ended) = ended {
            return ended;
        }
    }
}

/// What a failed read means.
pub(super) fn failed<P: Peer>(peer: &P, error: &io::Error) -> Ended {
    let inner = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<fetchway_ws::ProtocolError>());
    match inner {
        Some(broken) => {
            peer.socket(|socket| socket.close(broken.code, broken.reason));
            Ended::Over(broken.to_string())
        }
        None => Ended::Lost(format!("the connection failed ({error})")),
    }
}

async fn writing<P: Peer>(peer: &P, mut io: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut out = BytesMut::new();
    let mut timer = Timer {
        sleep: pin!(tokio::time::sleep(Duration::ZERO)),
        armed: None,
    };
    loop {
        std::future::poll_fn(|cx| timer.poll_work(peer, cx)).await;
        // What becomes ready together shares a system call: let the others have their turn first.
        tokio::task::yield_now().await;
        out.clear();
        let closed = peer.fill(&mut out);
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

/// A timer that is moved as seldom as may be: one that rings too early only makes us look again.
struct Timer<'a> {
    sleep: Pin<&'a mut Sleep>,
    armed: Option<Instant>,
}

impl Timer<'_> {
    fn poll_work<P: Peer>(&mut self, peer: &P, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Work::At(at) = peer.work(cx.waker()) else {
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

/// Ends when the relay has been silent for too long.
async fn silent<P: Peer>(peer: &P, received: &AtomicU64) -> String {
    let dead_at = || peer.socket(|socket| socket.dead_at(peer.liveness()));
    loop {
        let (at, before) = (dead_at(), received.load(Ordering::Relaxed));
        tokio::time::sleep_until(at.into()).await;
        if at != dead_at() {
            continue;
        }
        let paused = peer.socket(|socket| socket.is_paused());
        if before == received.load(Ordering::Relaxed) && !paused {
            return "nothing was heard of the relay for too long".to_owned();
        }
        // A message that takes long is no silence.
        peer.socket(|socket| socket.heard(Instant::now()));
    }
}

/// Counts what is read.
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
