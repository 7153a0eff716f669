//! The principal: the client on whose behalf a node acts, with the rights of its credential.

use std::collections::BTreeSet;
use std::sync::Arc;

use fetchway_fetch::{Account, AccountConfig, AccountLimits, Engine};
use fetchway_policy::guard::AddressPolicy;
use fetchway_policy::{ErrorName, FetchError};

use crate::limits::Limits;
use crate::places::Places;

/// The client on whose behalf sessions and batches run. The node finds it by the credential.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Name for logs; never the credential itself.
    pub name: Arc<str>,
    /// Limits of each session.
    pub limits: Limits,
    /// Addresses that fetches may reach.
    pub policy: Arc<AddressPolicy>,
    /// Lanes that may be named; `None` means every configured lane.
    pub lanes: Option<Arc<BTreeSet<String>>>,
    /// Places for the sessions and batches of the credential.
    pub places: Places,
}

impl Principal {
    /// Opens an account for fetches on the principal's behalf, within `limits`.
    #[must_use]
    pub fn account(&self, engine: &Engine, limits: AccountLimits) -> Account {
        let bodies = self.limits.answers as u64;
        let network = engine.network(&self.policy);
        Account::open(engine, network, AccountConfig { limits, bodies })
    }

    /// Index of the lane called `name`, or of the default lane.
    ///
    /// # Errors
    /// `invalid_request` for a lane that is not configured, `http_request_denied` for one that the
    /// principal may not use.
    pub fn lane(&self, engine: &Engine, name: Option<&str>) -> Result<usize, FetchError> {
        let lane = engine.lane(name)?;
        let named = name.unwrap_or(fetchway_fetch::DEFAULT_LANE);
        match &self.lanes {
            Some(allowed) if !allowed.contains(named) => {
                let detail = format!("The lane {named:?} is not open to this token.");
                Err(FetchError::new(ErrorName::HttpRequestDenied, detail))
            }
            _ => Ok(lane),
        }
    }
}
