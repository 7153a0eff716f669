//! Whose fetches share fairly: one session of a client, in the schedule and in the byte budget.

use std::sync::Arc;

use fetchway_policy::budget::SessionKey;
use fetchway_policy::schedule::{SessionId, SessionLimits, SessionStats};

use crate::Hold;
use crate::engine::Engine;
use crate::pool::Network;

/// What a session may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Fetches in flight and waiting.
    pub limits: SessionLimits,
    /// Bytes of whole bodies held for it.
    pub bodies: u64,
}

/// A session; closed when dropped. Its fetches may outlive it.
#[derive(Debug)]
pub struct Session {
    pub(crate) engine: Engine,
    pub(crate) network: Arc<Network>,
    pub(crate) id: SessionId,
    pub(crate) bodies: SessionKey,
}

impl Session {
    pub(crate) fn open(engine: Engine, network: Arc<Network>, config: SessionConfig) -> Self {
        Self {
            id: engine.gate().open_session(config.limits),
            bodies: engine.bodies().open_session(config.bodies),
            engine,
            network,
        }
    }

    /// The engine that it belongs to.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Its fetches in flight and waiting.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        self.engine.gate().session_stats(self.id)
    }

    /// A place in the byte budget for one whole body.
    #[must_use]
    pub fn hold(&self) -> Hold {
        self.engine.bodies().begin(self.bodies)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.engine.gate().close_session(self.id);
        self.engine.bodies().close_session(self.bodies);
    }
}
