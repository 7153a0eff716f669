//! The driver of the byte budget: a hold is what one whole body has reserved, given back when dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fetchway_policy::budget::{AccountKey, BodyKey, Budget, Reserve};
use fetchway_policy::{ErrorName, FetchError};
use tokio::sync::oneshot;

/// Bytes of whole bodies in memory, of all accounts.
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

    pub(crate) fn open_account(&self, limit: u64) -> AccountKey {
        self.state().budget.open_account(limit)
    }

    pub(crate) fn close_account(&self, account: AccountKey) {
        self.state().budget.close_account(account);
    }

    pub(crate) fn begin(self: &Arc<Self>, account: AccountKey) -> Hold {
        Hold {
            body: self.state().budget.begin(account),
            bytes: self.clone(),
        }
    }
}

/// The error of a body whose account was closed while it waited for room.
pub(crate) fn account_closed() -> FetchError {
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
    /// `cancelled` if the account was closed.
    pub async fn more(&mut self, n: u64) -> Result<(), FetchError> {
        match self.reserve(n) {
            None => Ok(()),
            Some(granted) => granted.await.map_err(|_| account_closed()),
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
