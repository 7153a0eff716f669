//! Places: the number of sessions and sockets that one credential may have at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One of a credential's places. Dropping it gives the place back.
pub type Place = OwnedSemaphorePermit;

/// The places of one credential.
#[derive(Debug)]
pub struct Places {
    /// Each session holds a permit until it has ended.
    sessions: Arc<Semaphore>,
    /// Each socket without a session holds a permit.
    sockets: Arc<Semaphore>,
}

impl Places {
    /// Places for `sessions` sessions, and for `sockets` sockets without a session.
    #[must_use]
    pub fn new(sessions: usize, sockets: usize) -> Self {
        let semaphore = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self {
            sessions: semaphore(sessions),
            sockets: semaphore(sockets),
        }
    }

    /// Takes a place for one more session; `None` if all are taken.
    #[must_use]
    pub fn session(&self) -> Option<Place> {
        take(&self.sessions)
    }

    /// Takes a place for a socket without a session: one that has not sent HELLO yet, or has just been
    /// replaced. `None` if all are taken.
    #[must_use]
    pub fn socket(&self) -> Option<Place> {
        take(&self.sockets)
    }

    /// Number of free places for sessions.
    #[must_use]
    pub fn free_sessions(&self) -> usize {
        self.sessions.available_permits()
    }

    /// Number of free places for sockets without a session.
    #[must_use]
    pub fn free_sockets(&self) -> usize {
        self.sockets.available_permits()
    }
}

fn take(places: &Arc<Semaphore>) -> Option<Place> {
    // The only other error would be a closed semaphore, and nothing closes it.
    Arc::clone(places).try_acquire_owned().ok()
}
