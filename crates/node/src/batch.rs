//! Performs the fetches of a batch, by an engine of its own under the configuration of a node, or by an
//! account of the engine that the node has for its clients.
//!
//! The run decides what is tried again, so the engine does not (a fetch through a door is tried once),
//! and slows origins that ask for it, so an engine of its own does not. Limits of origins hold in both:
//! the run keeps items back, the engine sees redirects too.

use std::sync::Arc;
use std::time::Duration;

use fetchway_batch::{Handover, Performer, Request, Response};
use fetchway_fetch::{
    Account, AccountConfig, AccountLimits, Door, Engine, FetchRequest, Hold, NoObserver,
    RequestBody,
};
use fetchway_policy::guard::HostPattern;
use fetchway_policy::{FetchError, OriginLimits};
use fetchway_service::Principal;
use tokio::time::Instant;
use url::Url;

use crate::config::Config;
use crate::start_error::StartError;

/// Memory of an outcome beside its body and header fields, in bytes.
const OUTCOME_WEIGHT: u64 = 1 << 10;

/// Performs fetches from here.
#[derive(Debug)]
pub struct LocalFetches {
    account: Account,
    origins: Origins,
    /// Whose rights bind it, if not all may be done.
    principal: Option<Principal>,
    /// The most that a fetch may take in all, if it does not ask for less.
    timeout: Option<Duration>,
}

/// What origins may be sent, as a configuration has it.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    by_rank: Arc<[(HostPattern, OriginLimits)]>,
    others: OriginLimits,
}

impl Origins {
    pub(crate) fn of(config: &Config) -> Self {
        let (by_rank, others) = config.origin_limits();
        Self {
            by_rank: by_rank.into(),
            others,
        }
    }
}

impl LocalFetches {
    /// Performs fetches by an account of a shared engine, with the lanes of `principal`; the account
    /// decides where they may go. A try may take `timeout` at most.
    pub(crate) fn on_behalf(
        principal: Principal,
        account: Account,
        origins: Origins,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            account,
            origins,
            principal: Some(principal),
            timeout,
        }
    }

    /// Under `config`: lanes, limits of origins, where fetches may go, certificates, names, clocks,
    /// memory for bodies. Up to `concurrency` connections to an origin are kept. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// A file that the configuration names can't be read, or an engine can't be built from it.
    pub fn new(
        config: &Config,
        concurrency: usize,
        timeout: Option<Duration>,
    ) -> Result<Self, StartError> {
        let mut engine = config.engine_config()?;
        engine.retry_after_cap = Duration::ZERO;
        engine.pool.idle_per_origin = engine.pool.idle_per_origin.max(concurrency);
        engine.pool.idle_total = engine.pool.idle_total.max(concurrency);
        let bodies = engine.body_budget;
        let engine = Engine::new(engine, Arc::new(NoObserver)).map_err(StartError::Engine)?;
        let network = engine.network(&Arc::new(config.address_policy(&[])));
        // The run has bounds of its own, which are tighter.
        let most = usize::MAX >> 1;
        let limits = AccountLimits {
            in_flight: most,
            queued: most,
            queued_bytes: most,
        };
        Ok(Self {
            account: Account::open(&engine, network, AccountConfig { limits, bodies }),
            origins: Origins::of(config),
            principal: None,
            timeout,
        })
    }

    fn fetch(&self, request: &Request) -> Result<FetchRequest, FetchError> {
        let (engine, lane) = (self.account.engine(), request.lane.as_deref());
        let lane = match &self.principal {
            Some(principal) => principal.lane(engine, lane)?,
            None => engine.lane(lane)?,
        };
        Ok(FetchRequest {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: RequestBody::Full(request.body.clone()),
            lane,
            redirect: request.redirect,
            decode: request.decode,
            timeouts: request.timeouts.within(self.timeout),
        })
    }
}

impl Performer for LocalFetches {
    type Hold = Hold;

    async fn perform(
        &self,
        request: &Request,
        handover: &Handover<'_>,
    ) -> Result<(Response, Hold), FetchError> {
        let queued = self.account.queue(self.fetch(request)?);
        let fetched = queued.perform_through(&Through(handover)).await?;
        handover.answered();
        let whole = fetched.whole(OUTCOME_WEIGHT).await?;
        let (head, body) = whole.response.into_parts();
        let response = Response {
            url: whole.url,
            status: head.status,
            headers: head.headers,
            body,
        };
        Ok((response, whole.hold))
    }

    fn limits(&self, origin: &Url) -> OriginLimits {
        let host = origin.host_str().unwrap_or_default();
        let mut by_rank = self.origins.by_rank.iter();
        let found = by_rank.find(|(pattern, _)| pattern.matches(host));
        found.map_or(self.origins.others, |(_, limits)| *limits)
    }
}

/// The engine's door is the run's.
struct Through<'a>(&'a Handover<'a>);

impl Door for Through<'_> {
    fn pass(&self) -> Option<Instant> {
        self.0.pass()
    }
}
