//! What performs the fetches of a batch: an engine of its own, under the configuration of a node, or a
//! session of the engine that the node has for its clients.
//!
//! The run decides what is tried again, so the engine does not (a fetch through a door is tried once),
//! and slows origins that ask for it, so an engine of its own does not. Limits of origins hold in both:
//! the run keeps items back, the engine sees redirects too.

use std::sync::Arc;
use std::time::Duration;

use fetchway_batch::{Handover, Performer, Request, Response};
use fetchway_fetch::{
    Door, Engine, FetchRequest, Fetched, Hold, NoObserver, RequestBody, Session, SessionConfig,
    SessionLimits, fields_weight,
};
use fetchway_policy::guard::HostPattern;
use fetchway_policy::{FetchError, OriginLimits};
use fetchway_relay::Principal;
use tokio::time::Instant;
use url::Url;

use crate::config::Config;
use crate::start_error::StartError;

/// What an outcome holds in memory beside its body and fields, in bytes.
const OUTCOME_WEIGHT: u64 = 1 << 10;

/// Performs fetches from here.
#[derive(Debug)]
pub struct LocalFetches {
    session: Session,
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
    /// Through a session of a shared engine, with the lanes of `principal`; where it may go is the
    /// session's. A try may take `timeout` at most.
    pub(crate) fn on_behalf(
        principal: Principal,
        session: Session,
        origins: Origins,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            session,
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
        let limits = SessionLimits {
            in_flight: most,
            queued: most,
            queued_bytes: most,
        };
        Ok(Self {
            session: engine.session(network, SessionConfig { limits, bodies }),
            origins: Origins::of(config),
            principal: None,
            timeout,
        })
    }

    fn fetch(&self, request: &Request) -> Result<FetchRequest, FetchError> {
        let (engine, lane) = (self.session.engine(), request.lane.as_deref());
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
        let (session, engine) = (&self.session, self.session.engine());
        let fetch = self.fetch(request)?;
        let lane = fetch.lane;
        let queued = engine.queue(session, fetch);
        let door = Through(handover);
        let Fetched { response, url } = engine.perform_through(session, queued, &door).await?;
        handover.answered();
        let (head, body) = response.into_parts();
        let beside = OUTCOME_WEIGHT + fields_weight(&head.headers) + url.as_str().len() as u64;
        let mut hold = session.hold();
        let body = body
            .whole(&mut hold, beside, engine.response_cap(lane))
            .await?;
        let response = Response {
            url,
            status: head.status,
            headers: head.headers,
            body,
        };
        Ok((response, hold))
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
