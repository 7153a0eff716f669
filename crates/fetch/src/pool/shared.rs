//! The HTTP/2 connections of one site, and the use of a place on one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use ::h2::client::SendRequest;
use bytes::Bytes;
use tokio::time::Instant;

use super::site::Site;
use crate::meter::Meter;

/// An HTTP/2 connection.
pub(super) struct Shared {
    pub(super) id: u64,
    pub(super) sender: SendRequest<Bytes>,
    /// Streams that the origin allows now; kept up to date by the connection's task.
    limit: Arc<AtomicUsize>,
    pub(super) active: usize,
    /// A response has come on it.
    served: Arc<AtomicBool>,
    meter: Arc<Meter>,
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

    /// Streams that the origin allows now.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    fn has_place(&self) -> bool {
        self.active < self.limit()
    }

    /// Whether it takes further streams: no GOAWAY has come, and it has not broken.
    fn is_open(&mut self) -> bool {
        // Never pending: that is for senders that have just sent, and this one never does.
        let ready = self
            .sender
            .poll_ready(&mut Context::from_waker(Waker::noop()));
        matches!(ready, Poll::Ready(Ok(())))
    }
}

/// A place on the first connection that has one. Those found to take no more streams are put into
/// `closed`, to be dropped by the caller when it holds no lock.
pub(super) fn lease(
    site: &Arc<Site>,
    shared: &mut Vec<Shared>,
    closed: &mut Vec<Shared>,
) -> Option<StreamLease> {
    loop {
        let at = shared.iter().position(Shared::has_place)?;
        if !shared[at].is_open() {
            closed.push(shared.remove(at));
            continue;
        }
        let place = &mut shared[at];
        place.active += 1;
        return Some(StreamLease {
            site: site.clone(),
            id: place.id,
            sender: place.sender.clone(),
            served: place.served.clone(),
            meter: place.meter.clone(),
            serves: true,
        });
    }
}

/// A stream's place; free again when dropped.
pub(crate) struct StreamLease {
    site: Arc<Site>,
    id: u64,
    pub(crate) sender: SendRequest<Bytes>,
    /// A response has come on this connection.
    served: Arc<AtomicBool>,
    meter: Arc<Meter>,
    /// Whether its end looks for somebody who waits for the place.
    pub(super) serves: bool,
}

impl StreamLease {
    /// Whether the connection has served before.
    pub(crate) fn reused(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// Bytes that have come on the connection.
    pub(crate) fn heard(&self) -> u64 {
        self.meter.counts().0
    }

    /// A response has come.
    pub(crate) fn mark_served(&self) {
        self.served.store(true, Ordering::Relaxed);
    }

    /// The connection takes no more streams: nobody else shall try it.
    pub(crate) fn retire(&self) {
        self.site.closed(self.id);
    }
}

impl Drop for StreamLease {
    fn drop(&mut self) {
        self.site.free(self.id);
        if self.serves {
            self.site.serve();
        }
    }
}
