//! Counts the bytes of a connection, so that "not one byte was sent" is certain.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::observe::Observer;
use crate::stream::Stream;

/// The counters of one connection. Its drop reports the end of the connection to the observer.
pub(crate) struct Meter {
    read: AtomicU64,
    written: AtomicU64,
    observer: Arc<dyn Observer>,
}

impl Meter {
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Arc<Self> {
        observer.connection_opened();
        Arc::new(Self {
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            observer,
        })
    }

    /// Bytes read and written so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (
            self.read.load(Ordering::Relaxed),
            self.written.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.observer.connection_closed();
    }
}

/// A stream that counts its bytes.
pub(crate) struct Metered {
    pub(crate) stream: Stream,
    pub(crate) meter: Arc<Meter>,
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let n = (buf.filled().len() - before) as u64;
        this.meter.read.fetch_add(n, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl Metered {
    fn wrote(&self, n: usize) -> usize {
        self.meter.written.fetch_add(n as u64, Ordering::Relaxed);
        n
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        Pin::new(&mut this.stream)
            .poll_write(cx, buf)
            .map_ok(|n| this.wrote(n))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        Pin::new(&mut this.stream)
            .poll_write_vectored(cx, bufs)
            .map_ok(|n| this.wrote(n))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
