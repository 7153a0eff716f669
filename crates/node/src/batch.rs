//! What performs the fetches of a batch: an engine of its own, under the configuration of a node.
//!
//! The run decides what is tried again, and slows origins that ask for it, so its engine does neither.
//! Limits of origins hold in both: the run keeps items back, the engine sees redirects too.

use std::sync::Arc;
use std::time::Duration;

use fetchway_batch::{Body, Handover, Performer, Request, Response};
use fetchway_fetch::{
    Door, Engine, FetchRequest, Fetched, Hold, NoObserver, RequestBody, Session, SessionConfig,
    SessionLimits,
};
use fetchway_policy::guard::HostPattern;
use fetchway_policy::{FetchError, OriginLimits, RetryPolicy};
use http::HeaderMap;
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
    origins: Vec<(HostPattern, OriginLimits)>,
    origin_default: OriginLimits,
    /// The most that a fetch may take in all, if it does not ask for less.
    timeout: Option<Duration>,
}

impl LocalFetches {
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
        for (_, lane) in &mut engine.lanes {
            lane.retry = RetryPolicy::default();
        }
        engine.retry_after_cap = Duration::ZERO;
        engine.pool.idle_per_origin = engine.pool.idle_per_origin.max(concurrency);
        engine.pool.idle_total = engine.pool.idle_total.max(concurrency);
        let (origins, origin_default) = (engine.origins.clone(), engine.origin_default);
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
            origins,
            origin_default,
            timeout,
        })
    }

    fn fetch(&self, request: &Request) -> Result<FetchRequest, FetchError> {
        let mut timeouts = request.timeouts;
        if let Some(most) = self.timeout {
            timeouts.total = Some(timeouts.total.map_or(most, |asked| asked.min(most)));
        }
        Ok(FetchRequest {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: RequestBody::Full(request.body.clone()),
            lane: self.session.engine().lane(request.lane.as_deref())?,
            redirect: request.redirect,
            decode: request.decode,
            timeouts,
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
        let beside = OUTCOME_WEIGHT + weight(&head.headers) + url.as_str().len() as u64;
        let mut hold = session.hold();
        let body = body
            .whole(&mut hold, beside, engine.response_cap(lane))
            .await?;
        let response = Response {
            url,
            status: head.status,
            headers: head.headers,
            body: Body::Whole(body),
        };
        Ok((response, hold))
    }

    fn limits(&self, origin: &Url) -> OriginLimits {
        let host = origin.host_str().unwrap_or_default();
        let found = self
            .origins
            .iter()
            .find(|(pattern, _)| pattern.matches(host));
        found.map_or(self.origin_default, |(_, limits)| *limits)
    }
}

/// The engine's door is the run's.
struct Through<'a>(&'a Handover<'a>);

impl Door for Through<'_> {
    fn pass(&self) -> Option<Instant> {
        self.0.pass()
    }
}

fn weight(headers: &HeaderMap) -> u64 {
    let weights = headers.iter();
    let weights = weights.map(|(name, value)| (name.as_str().len() + value.len() + 32) as u64);
    weights.sum()
}
