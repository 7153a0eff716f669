//! The driver of the byte budget. A hold is the reservation for one whole body, and returns itself when
//! dropped.

use std::collections::HashMap;
use std::sync::Arc;

use fetchway_policy::budget::{AccountKey, BodyKey, Budget, Reserve};
use fetchway_policy::{ErrorName, FetchError};
use parking_lot::Mutex;
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
                // A receiver that is gone drops its hold by itself.
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

    pub(crate) fn used(&self) -> u64 {
        self.state.lock().budget.used()
    }

    pub(crate) fn open_account(&self, limit: u64) -> AccountKey {
        self.state.lock().budget.open_account(limit)
    }

    pub(crate) fn close_account(&self, account: AccountKey) {
        self.state.lock().budget.close_account(account);
    }

    pub(crate) fn begin(self: &Arc<Self>, account: AccountKey) -> Hold {
        Hold {
            body: self.state.lock().budget.begin(account),
            bytes: self.clone(),
        }
    }
}

/// The error of a body whose account was closed while it waited for room.
pub(crate) fn account_closed() -> FetchError {
    FetchError::new(ErrorName::Cancelled, "The session has ended.")
}

/// The reserved bytes of one body, from before they are read until their answer is written.
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
    /// Reserves `n` further bytes. If the result is `Some`, it must be awaited before they are read.
    pub(crate) fn reserve(&mut self, n: u64) -> Option<oneshot::Receiver<()>> {
        let mut state = self.bytes.state.lock();
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

    /// Reserves `n` further bytes, as soon as there is room.
    ///
    /// # Errors
    /// `cancelled` if the account was closed.
    pub async fn more(&mut self, n: u64) -> Result<(), FetchError> {
        match self.reserve(n) {
            None => Ok(()),
            Some(granted) => granted.await.map_err(|_| account_closed()),
        }
    }

    /// Reports that the body is complete, and that its bytes now wait for their reader. `unused` reserved
    /// bytes were not needed.
    pub(crate) fn complete(&mut self, unused: u64) {
        let mut state = self.bytes.state.lock();
        if unused > 0 {
            state.budget.return_unused(self.body, unused);
        }
        state.budget.complete(self.body);
        state.settle();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.bytes.state.lock();
        state.waiting.remove(&self.body);
        state.budget.release(self.body);
        state.settle();
    }
}
