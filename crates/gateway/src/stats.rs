//! A gateway's counters.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a gateway since it began. The last three say how things stand at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Clients whose connection the API has accepted.
    pub connections_opened: u64,
    /// Accepted clients that are gone.
    pub connections_closed: u64,
    /// Requests to the API that were started.
    pub requests_started: u64,
    /// Requests without a response, or with one that is no 2xx.
    pub requests_failed: u64,
    /// Requests with a 2xx response.
    pub requests_succeeded: u64,
    /// Messages of clients.
    pub messages_in: u64,
    /// Messages to clients: answers and pushes.
    pub messages_out: u64,
    /// Clients connected.
    pub connections: u64,
    /// Messages of all clients that wait for the API.
    pub queued_messages: u64,
    /// DELETEs that wait to be sent or are being sent.
    pub pending_deletes: u64,
}

impl Stats {
    /// Returns the five counters that a plain `GET /` is answered with, one a line.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut lines = String::new();
        for (name, value) in [
            ("connections_opened", self.connections_opened),
            ("connections_closed", self.connections_closed),
            ("requests_started", self.requests_started),
            ("requests_failed", self.requests_failed),
            ("requests_succeeded", self.requests_succeeded),
        ] {
            // Writing to a String does not fail.
            let _ = writeln!(lines, "{name} {value}");
        }
        lines
    }
}

/// The counters themselves.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) opened: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) started: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) succeeded: AtomicU64,
    pub(crate) messages_in: AtomicU64,
    pub(crate) messages_out: AtomicU64,
    pub(crate) queued: AtomicU64,
    pub(crate) deletes: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn sub(counter: &AtomicU64) {
    counter.fetch_sub(1, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Closed before opened: the difference is never negative.
        let closed = read(&self.closed);
        let opened = read(&self.opened);
        Stats {
            connections_opened: opened,
            connections_closed: closed,
            requests_started: read(&self.started),
            requests_failed: read(&self.failed),
            requests_succeeded: read(&self.succeeded),
            messages_in: read(&self.messages_in),
            messages_out: read(&self.messages_out),
            connections: opened.saturating_sub(closed),
            queued_messages: read(&self.queued),
            pending_deletes: read(&self.deletes),
        }
    }
}
