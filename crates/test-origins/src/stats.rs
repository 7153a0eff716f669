//! Counters of an origin.

use std::sync::Arc;

use serde::Serialize;

use crate::watched::Watched;

/// Counters of a [`TestOrigin`](crate::TestOrigin).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Number of accepted connections: one for each dial of a client.
    pub connections: u64,
    /// Number of open connections.
    pub open: u64,
    /// Number of connections whose TLS handshake failed.
    pub failed_handshakes: u64,
    /// Number of errors of `accept`, for example because no file descriptor was left.
    pub failed_accepts: u64,
    /// Number of requests received.
    pub requests: u64,
    /// Number of requests answered up to the last byte of the body.
    pub completed: u64,
    /// Number of requests that ended earlier, by the client or by a route that breaks its answer off.
    pub aborted: u64,
    /// Number of requests that are being answered.
    pub in_flight: u64,
    /// Maximum of `in_flight` so far.
    pub peak_in_flight: u64,
    /// Bytes of response bodies passed to connections, whose send buffers may still hold some.
    pub bytes_sent: u64,
    /// Bytes of request bodies read.
    pub bytes_received: u64,
}

/// The counters of a running origin.
pub(crate) type Counters = Watched<Stats>;

/// An open connection, until dropped.
pub(crate) struct OpenConnection(Arc<Counters>);

impl OpenConnection {
    /// Counts a connection.
    pub(crate) fn new(counters: &Arc<Counters>) -> Self {
        counters.change(|stats| {
            stats.connections += 1;
            stats.open += 1;
        });
        Self(Arc::clone(counters))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.change(|stats| stats.open -= 1);
    }
}

/// A request that is being answered. Dropped without [`InFlight::completed`], it counts as aborted.
pub(crate) struct InFlight {
    counters: Arc<Counters>,
    completed: bool,
}

impl InFlight {
    /// Counts a request.
    pub(crate) fn new(counters: &Arc<Counters>) -> Self {
        counters.change(|stats| {
            stats.requests += 1;
            stats.in_flight += 1;
            stats.peak_in_flight = stats.peak_in_flight.max(stats.in_flight);
        });
        Self {
            counters: Arc::clone(counters),
            completed: false,
        }
    }

    /// Counts bytes of the response's body.
    pub(crate) fn sent(&self, bytes: usize) {
        self.counters
            .change(|stats| stats.bytes_sent += bytes as u64);
    }

    /// Marks the request as answered completely.
    pub(crate) fn completed(&mut self) {
        self.completed = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.counters.change(|stats| {
            stats.in_flight -= 1;
            match self.completed {
                true => stats.completed += 1,
                false => stats.aborted += 1,
            }
        });
    }
}
