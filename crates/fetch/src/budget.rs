//! The driver of the byte budget: a hold is what one whole body has reserved, given back when dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fetchway_policy::budget::{BodyKey, Budget, Reserve, SessionKey};
use fetchway_policy::{ErrorName, FetchError};
use http::HeaderMap;
use tokio::sync::oneshot;

/// Bytes of whole bodies in memory, of all sessions.
pub(crate) struct Bytes {
    state: Mutex<State>,
}

struct State {
    budget: Budget,
    waiting: HashMap<BodyKey, oneshot::Sender<()>>,
}

impl State {
    fn settle(&mut self) {
        while let Some(body) = self.budget.next_granted() {
            if let Some(tell) = self.waiting.remove(&body) {
                // One that no longer listens drops its hold by itself.
                let _ = tell.send(());
            }
        }
    }
}

impl Bytes {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                budget: Budget::new(limit),
                waiting: HashMap::new(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn used(&self) -> u64 {
        self.state().budget.used()
    }

    pub(crate) fn open_session(&self, limit: u64) -> SessionKey {
        self.state().budget.open_session(limit)
    }

    pub(crate) fn close_session(&self, session: SessionKey) {
        self.state().budget.close_session(session);
    }

    pub(crate) fn begin(self: &Arc<Self>, session: SessionKey) -> Hold {
        Hold {
            body: self.state().budget.begin(session),
            bytes: self.clone(),
        }
    }
}

/// What response fields take in memory beside a body that is held, in bytes.
#[must_use]
pub fn fields_weight(fields: &HeaderMap) -> u64 {
    let weights = fields.iter();
    let weights = weights.map(|(name, value)| (name.as_str().len() + value.len() + 32) as u64);
    weights.sum()
}

/// What becomes of a body whose reader has no session any more.
pub(crate) fn session_ended() -> FetchError {
    FetchError::new(ErrorName::Cancelled, "The session has ended.")
}

/// The bytes of one body, from before they are read until their answer is written.
pub struct Hold {
    bytes: Arc<Bytes>,
    body: BodyKey,
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hold")
    }
}

impl Hold {
    /// Reserves `n` further bytes; `Some` must be waited for before they are read.
    pub(crate) fn reserve(&mut self, n: u64) -> Option<oneshot::Receiver<()>> {
        let mut state = self.bytes.state();
        match state.budget.reserve(self.body, n) {
            Reserve::Granted => None,
            Reserve::Waiting => {
                let (tell, granted) = oneshot::channel();
                state.waiting.insert(self.body, tell);
                state.settle();
                Some(granted)
            }
        }
    }

    /// Reserves `n` further bytes, when there is room for them.
    ///
    /// # Errors
    /// `cancelled` if the session has ended.
    pub async fn more(&mut self, n: u64) -> Result<(), FetchError> {
        match self.reserve(n) {
            None => Ok(()),
            Some(granted) => granted.await.map_err(|_| session_ended()),
        }
    }

    /// The body is whole; its bytes now wait for their reader. `unused` of those reserved were not
    /// needed.
    pub(crate) fn complete(&mut self, unused: u64) {
        let mut state = self.bytes.state();
        if unused > 0 {
            state.budget.return_unused(self.body, unused);
        }
        state.budget.complete(self.body);
        state.settle();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.bytes.state();
        state.waiting.remove(&self.body);
        state.budget.release(self.body);
        state.settle();
    }
}
