//! An HTTP/2 connection, as its site keeps it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use ::h2::client::SendRequest;
use bytes::Bytes;
use tokio::time::Instant;

use crate::meter::Meter;

/// An HTTP/2 connection.
pub(super) struct Shared {
    pub(super) id: u64,
    pub(super) sender: SendRequest<Bytes>,
    /// Maximum number of streams that the origin allows now. The task of the connection keeps it up to
    /// date.
    limit: Arc<AtomicUsize>,
    pub(super) active: usize,
    /// Set when a response has come on the connection.
    pub(super) served: Arc<AtomicBool>,
    pub(super) meter: Arc<Meter>,
    pub(super) idle_since: Instant,
}

impl Shared {
    pub(super) fn new(
        id: u64,
        sender: SendRequest<Bytes>,
        limit: Arc<AtomicUsize>,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            id,
            sender,
            limit,
            active: 0,
            served: Arc::default(),
            meter,
            idle_since: Instant::now(),
        }
    }

    /// The maximum number of streams that the origin allows now.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Returns true if the origin allows one more stream now.
    pub(super) fn has_place(&self) -> bool {
        self.active < self.limit()
    }

    /// Returns true if the connection takes further streams: no GOAWAY has come, and it has not failed.
    pub(super) fn is_open(&mut self) -> bool {
        // Never pending: only senders that have just sent something have to wait.
        let ready = self
            .sender
            .poll_ready(&mut Context::from_waker(Waker::noop()));
        matches!(ready, Poll::Ready(Ok(())))
    }
}
