//! Counters of an origin, and waiting for them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// A reading of an origin's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted: what a client calls dials.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Connections whose TLS handshake failed.
    pub failed_handshakes: u64,
    /// Errors of `accept`, out of file descriptors for one.
    pub failed_accepts: u64,
    /// Requests begun.
    pub requests: u64,
    /// Requests answered to the last byte of the body.
    pub completed: u64,
    /// Requests given up before that, by the client or by a route that breaks off.
    pub aborted: u64,
    /// Requests being answered now.
    pub in_flight: u64,
    /// The most that ever were.
    pub peak_in_flight: u64,
    /// Bytes of response bodies handed to the connection; its send buffers may still hold some.
    pub bytes_sent: u64,
    /// Bytes of request bodies read.
    pub bytes_received: u64,
}

impl Stats {
    pub(crate) fn to_json(self) -> serde_json::Value {
        serde_json::json!({
            "connections": self.connections,
            "open": self.open,
            "failedHandshakes": self.failed_handshakes,
            "failedAccepts": self.failed_accepts,
            "requests": self.requests,
            "completed": self.completed,
            "aborted": self.aborted,
            "inFlight": self.in_flight,
            "peakInFlight": self.peak_in_flight,
            "bytesSent": self.bytes_sent,
            "bytesReceived": self.bytes_received,
        })
    }
}

/// The counters themselves. Relaxed throughout: each is a count of its own, and `changed` orders
/// a change before the reading of whoever waits for it.
#[derive(Default)]
pub(crate) struct Counters {
    connections: AtomicU64,
    open: AtomicU64,
    failed_handshakes: AtomicU64,
    failed_accepts: AtomicU64,
    requests: AtomicU64,
    completed: AtomicU64,
    aborted: AtomicU64,
    in_flight: AtomicU64,
    peak_in_flight: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    changed: Notify,
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            connections: get(&self.connections),
            open: get(&self.open),
            failed_handshakes: get(&self.failed_handshakes),
            failed_accepts: get(&self.failed_accepts),
            requests: get(&self.requests),
            completed: get(&self.completed),
            aborted: get(&self.aborted),
            in_flight: get(&self.in_flight),
            peak_in_flight: get(&self.peak_in_flight),
            bytes_sent: get(&self.bytes_sent),
            bytes_received: get(&self.bytes_received),
        }
    }

    pub(crate) async fn wait_until(&self, mut ready: impl FnMut(&Stats) -> bool) -> Stats {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Enrol before reading, or a change between the two would be missed.
            changed.as_mut().enable();
            let stats = self.read();
            if ready(&stats) {
                return stats;
            }
            changed.await;
        }
    }

    fn add(&self, counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    pub(crate) fn handshake_failed(&self) {
        self.add(&self.failed_handshakes, 1);
    }

    pub(crate) fn accept_failed(&self) {
        self.add(&self.failed_accepts, 1);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.add(&self.bytes_received, bytes as u64);
    }

    pub(crate) fn connection(self: &Arc<Self>) -> OpenConnection {
        self.add(&self.connections, 1);
        self.add(&self.open, 1);
        OpenConnection(Arc::clone(self))
    }

    pub(crate) fn request(self: &Arc<Self>) -> InFlight {
        self.add(&self.requests, 1);
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak_in_flight.fetch_max(now, Ordering::Relaxed);
        self.changed.notify_waiters();
        InFlight {
            counters: Arc::clone(self),
            completed: false,
        }
    }
}

/// An open connection, until dropped.
pub(crate) struct OpenConnection(Arc<Counters>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_waiters();
    }
}

/// A request being answered. Dropped without [`InFlight::completed`], it counts as aborted.
pub(crate) struct InFlight {
    counters: Arc<Counters>,
    completed: bool,
}

impl InFlight {
    pub(crate) fn sent(&self, bytes: usize) {
        self.counters.add(&self.counters.bytes_sent, bytes as u64);
    }

    pub(crate) fn completed(&mut self) {
        self.completed = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let counters = &self.counters;
        let outcome = if self.completed {
            &counters.completed
        } else {
            &counters.aborted
        };
        outcome.fetch_add(1, Ordering::Relaxed);
        counters.in_flight.fetch_sub(1, Ordering::Relaxed);
        counters.changed.notify_waiters();
    }
}
