//! The account of fetches: its part of the schedule and of the byte budget.

use std::sync::Arc;

use fetchway_policy::FetchError;
use fetchway_policy::budget::AccountKey;
use fetchway_policy::schedule::{AccountId, AccountLimits, AccountStats};

use crate::admit::{Asking, Turn};
use crate::budget::Hold;
use crate::engine::Engine;
use crate::pool::{Network, Site};
use crate::request::FetchRequest;

/// Weight of a request in its lane's queue beside its body and header fields, in bytes.
pub(crate) const REQUEST_WEIGHT: usize = 1 << 10;

/// Limits of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountConfig {
    /// Limits on fetches in flight and waiting.
    pub limits: AccountLimits,
    /// Bytes of whole response bodies in memory.
    pub bodies: u64,
}

/// The owner of fetches: permits, queues and the byte budget are shared fairly between accounts. Each
/// session of a relay has an account, each batch, and each thread of a gateway.
///
/// Clones share the account. The account is closed when the last clone and the last of its queued fetches
/// are dropped.
#[derive(Clone, Debug)]
pub struct Account(Arc<Inner>);

/// The part that all clones share.
#[derive(Debug)]
struct Inner {
    engine: Engine,
    network: Arc<Network>,
    id: AccountId,
    bodies: AccountKey,
}

/// The site that a request is sent to, and its turn there.
pub(crate) struct Place {
    pub(crate) site: Arc<Site>,
    pub(crate) turn: Turn,
}

impl Account {
    /// Opens an account of `engine` whose fetches may reach the origins of `network`.
    #[must_use]
    pub fn open(engine: &Engine, network: Arc<Network>, config: AccountConfig) -> Self {
        Self(Arc::new(Inner {
            id: engine.gate().open_account(config.limits),
            bodies: engine.bodies().open_account(config.bodies),
            engine: engine.clone(),
            network,
        }))
    }

    /// The engine that performs the account's fetches.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Fetches of the account in flight and waiting.
    #[must_use]
    pub fn stats(&self) -> AccountStats {
        self.engine().gate().account_stats(self.id())
    }

    /// Begins a hold for one whole body, without a reservation yet.
    #[must_use]
    pub fn hold(&self) -> Hold {
        self.engine().bodies().begin(self.holder())
    }

    pub(crate) fn id(&self) -> AccountId {
        self.0.id
    }

    pub(crate) fn holder(&self) -> AccountKey {
        self.0.bodies
    }

    pub(crate) fn network(&self) -> &Network {
        &self.0.network
    }

    /// Takes a place in the queues of the request's lane and origin. With `repeated`, an earlier hop or try
    /// of the same fetch had its turn already.
    pub(crate) fn ask(&self, request: &FetchRequest, repeated: bool) -> Result<Place, FetchError> {
        let site = self.network().site(&request.url)?;
        let fields = request.headers.iter();
        let fields: usize = fields.map(|(n, v)| n.as_str().len() + v.len()).sum();
        let asking = Asking {
            lane: request.lane,
            account: self.id(),
            bytes: REQUEST_WEIGHT + fields + request.url.as_str().len() + request.body.weight(),
            repeated,
        };
        let turn = self.engine().gate().ask(&site.origin, asking)?;
        Ok(Place { site, turn })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.engine.gate().close_account(self.id);
        self.engine.bodies().close_account(self.bodies);
    }
}
