//! The relay of one node: what its sessions share.

use std::sync::Arc;

use fetchway_fetch::{Account, AccountLimits, Engine};
use fetchway_service::{Principal, Shutdown, StreamServices};

use crate::ending::EndReason;
use crate::observe::SessionObserver;
use crate::v1::Directory;

/// The relay of one node. Clones share their state.
#[derive(Clone)]
pub struct Relay {
    engine: Engine,
    pub(crate) observer: Arc<dyn SessionObserver>,
    /// Services of node streams, which only the binary encoding has. Without any, a URL of scheme
    /// `fetchway` is refused like one of any unknown scheme.
    pub(crate) services: StreamServices,
    /// The binary sessions, by their tokens.
    pub(crate) directory: Arc<Directory>,
    /// Each session is a unit of work.
    pub(crate) shutdown: Shutdown,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Relay")
    }
}

impl Relay {
    /// Returns a relay whose sessions fetch through `engine`, and have node streams served by `services`.
    /// When `shutdown` drains, sessions take no new fetches, and close with 1001 when their last answer is
    /// written; after the grace they close at once.
    pub fn new(
        engine: Engine,
        observer: Arc<dyn SessionObserver>,
        services: StreamServices,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            engine,
            observer,
            services,
            directory: Arc::default(),
            shutdown,
        }
    }

    /// Counts and logs the beginning of a session. Returns the name for the log line of its end.
    pub(crate) fn opened(&self, principal: &Principal) -> Arc<str> {
        self.observer.session_opened();
        tracing::debug!(client = %principal.name, "session opened");
        principal.name.clone()
    }

    /// Counts and logs the refusal of a session beyond the limit.
    pub(crate) fn refused(&self, client: &str) {
        tracing::info!(
            client,
            "session refused: all sessions of the token (max-sessions) are open"
        );
        self.observer.session_refused();
    }

    /// Counts and logs the end of a session.
    pub(crate) fn closed(&self, client: &str, reason: EndReason) {
        tracing::debug!(client, why = reason.as_str(), "session closed");
        self.observer.session_closed(reason);
    }

    /// Opens the account of a client's session.
    pub(crate) fn account(&self, principal: &Principal) -> Account {
        let limits = &principal.limits;
        let limits = AccountLimits {
            in_flight: limits.in_flight,
            queued: limits.queued,
            queued_bytes: limits.queued_bytes,
        };
        principal.account(&self.engine, limits)
    }
}
