//! Places: the number of sessions, sockets and batches that one credential may have at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One of a credential's places. Dropping it gives the place back.
pub type Place = OwnedSemaphorePermit;

/// The number of places of one credential, by kind.
#[derive(Clone, Copy, Debug)]
pub struct PlaceCounts {
    /// Sessions.
    pub sessions: usize,
    /// Sockets without a session: one that has not sent HELLO yet, or has just been replaced.
    pub sockets: usize,
    /// Batches that the node runs.
    pub batches: usize,
}

/// The places of one credential. Clones share them.
#[derive(Clone, Debug)]
pub struct Places {
    sessions: Arc<Semaphore>,
    sockets: Arc<Semaphore>,
    batches: Arc<Semaphore>,
}

impl Places {
    /// Returns as many free places as `counts` says.
    #[must_use]
    pub fn new(counts: PlaceCounts) -> Self {
        let semaphore = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self {
            sessions: semaphore(counts.sessions),
            sockets: semaphore(counts.sockets),
            batches: semaphore(counts.batches),
        }
    }

    /// Takes a place for one more session; `None` if all are taken.
    #[must_use]
    pub fn session(&self) -> Option<Place> {
        take(&self.sessions)
    }

    /// Takes a place for one more socket without a session; `None` if all are taken.
    #[must_use]
    pub fn socket(&self) -> Option<Place> {
        take(&self.sockets)
    }

    /// Takes a place for one more batch; `None` if all are taken.
    #[must_use]
    pub fn batch(&self) -> Option<Place> {
        take(&self.batches)
    }

    /// Number of free places.
    #[must_use]
    pub fn free(&self) -> PlaceCounts {
        PlaceCounts {
            sessions: self.sessions.available_permits(),
            sockets: self.sockets.available_permits(),
            batches: self.batches.available_permits(),
        }
    }
}

fn take(places: &Arc<Semaphore>) -> Option<Place> {
    // The only other error would be a closed semaphore, and nothing closes it.
    Arc::clone(places).try_acquire_owned().ok()
}
