//! Leases of connections: of a whole HTTP/1.1 connection, or of a stream on an HTTP/2 connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::h2::client::SendRequest;
use bytes::Bytes;

use super::h1::H1;
use super::shared::Shared;
use super::site::Site;
use crate::meter::Meter;

/// The lease of a connection, or of a stream on one.
pub(crate) enum Lease {
    Whole(H1),
    Stream(StreamLease),
}

/// Leases a stream on the first connection that has one. Connections that take no more streams are moved to
/// `closed`, which the caller must drop without holding the lock.
pub(super) fn lease_stream(
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

/// The lease of a stream, which ends when dropped.
pub(crate) struct StreamLease {
    site: Arc<Site>,
    id: u64,
    pub(crate) sender: SendRequest<Bytes>,
    /// Set when a response has come on this connection.
    served: Arc<AtomicBool>,
    meter: Arc<Meter>,
    /// Set if the end of the lease gives its place to a waiting fetch.
    pub(super) serves: bool,
}

impl StreamLease {
    /// Returns true if the connection has served a response before.
    pub(crate) fn reused(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// Bytes received on the connection.
    pub(crate) fn heard(&self) -> u64 {
        self.meter.counts().0
    }

    /// Records that a response has come.
    pub(crate) fn mark_served(&self) {
        self.served.store(true, Ordering::Relaxed);
    }

    /// Marks that the connection takes no more streams, so that no other fetch tries it.
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
