//! Batches that clients have run by this node: over a session (`stream`), or over HTTP (`route`).
//!
//! Both are one thing, `begin`: pieces of JSON lines in, the outcomes' lines out. `params` is what the
//! query says, `items` makes items of the pieces, `lines` pieces of the outcomes, and `order` keeps them
//! in order where that is asked for. Over HTTP the input is read on into a `spool` whatever becomes of
//! the output, so that a client may send all before it reads anything, and `reply` is the answer's body.

mod items;
mod lines;
mod order;
mod params;
mod places;
mod reply;
mod route;
mod spool;
mod stream;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use fetchway_batch::RunConfig;
use fetchway_fetch::{AccountLimits, Engine};
use fetchway_policy::{FetchError, RetryPolicy};
use fetchway_service::{Phase, Principal, Shutdown};
use futures_util::Stream;
use http::StatusCode;

pub(crate) use reply::{Reply, refused};

use crate::batch::{LocalFetches, Origins};
use crate::config::{BatchSection, Config, DEFAULT};
use items::Items;
use lines::Lines;
use order::{Gate, Order};
use params::Params;
use places::Places;

/// What both ways of asking for a batch are answered with.
const NDJSON: &str = "application/x-ndjson";

/// The batches of one node.
pub(crate) struct Batches {
    engine: Engine,
    origins: Origins,
    bounds: BatchSection,
    /// Its pauses; how often is each batch's own.
    retry: RetryPolicy,
    wait_cap: Duration,
    shutdown: Shutdown,
    places: Places,
}

/// Why a batch has not begun.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The query is wrong, or asks for more than may be had.
    Params(String),
    /// As many batches run as may.
    Full(usize),
    /// The node is shutting down.
    Leaving,
}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            Self::Params(_) => StatusCode::BAD_REQUEST,
            Self::Full(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Leaving => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn detail(self) -> String {
        match self {
            Self::Params(why) => why,
            Self::Full(most) => format!(
                "{most} batches run for this token already, as many as may (batch.max-at-once): wait \
                 until one of them is over, or put your items into it."
            ),
            Self::Leaving => "This node is shutting down and begins no batches: send it to \
                              another, or again in a while."
                .to_owned(),
        }
    }
}

/// Why a batch ends before its time. The first reason given counts.
pub(crate) type Failure = Arc<OnceLock<FetchError>>;

impl Batches {
    pub(crate) fn new(config: &Config, engine: Engine, shutdown: Shutdown) -> Arc<Self> {
        let lane = config.lanes.get(DEFAULT);
        Arc::new(Self {
            engine,
            origins: Origins::of(config),
            bounds: config.batch.clone(),
            retry: lane.map(|lane| lane.to_lane().retry).unwrap_or_default(),
            wait_cap: config.fetch.retry_after_cap.0.0,
            shutdown,
            places: Places::new(config.batch.max_at_once),
        })
    }

    /// Begins a batch on behalf of `principal`: `query` says how it is to be, `input` brings its items
    /// as JSON lines. An error of the input ends the batch when what came before is answered.
    fn begin(
        &self,
        principal: &Principal,
        query: &str,
        input: impl Stream<Item = Result<Bytes, FetchError>> + Send + Unpin + 'static,
    ) -> Result<Lines, Refused> {
        let most = self.bounds.max_concurrency.min(principal.limits.in_flight);
        let params = Params::read(query, most).map_err(Refused::Params)?;
        if self.shutdown.phase() != Phase::Serving {
            return Err(Refused::Leaving);
        }
        let place = self.places.take(&principal.name);
        let place = place.ok_or(Refused::Full(self.bounds.max_at_once))?;
        let mut config = RunConfig::default();
        config.rate = params.rate;
        config.strict = params.strict;
        config.concurrency = params.concurrency;
        config.retry = self.retry;
        config.retry.attempts = params.retries.saturating_add(1);
        config.wait_cap = self.wait_cap;
        let failure = Failure::default();
        let order = params
            .ordered
            .then(|| Gate::new(self.bounds.max_held.as_usize(), params.concurrency));
        let items = Items::new(
            input,
            principal.limits.message,
            order.clone(),
            Arc::clone(&failure),
        );
        let fetches = self.fetches(principal, params.timeout);
        let (outcomes, handle) = fetchway_batch::run(&config, items, fetches);
        tracing::debug!(client = %principal.name, query, "a batch has begun");
        Ok(Lines::new(
            (outcomes, handle),
            order.map(Order::new),
            failure,
            (self.shutdown.clone(), place),
        ))
    }

    /// Returns the performer of one batch: an account of the engine, with the rights of its principal.
    /// The run has bounds of its own on what waits, which are tighter.
    fn fetches(&self, principal: &Principal, timeout: Option<Duration>) -> LocalFetches {
        let most = usize::MAX >> 1;
        let limits = AccountLimits {
            in_flight: principal.limits.in_flight,
            queued: most,
            queued_bytes: most,
        };
        let account = principal.account(&self.engine, limits);
        LocalFetches::on_behalf(principal.clone(), account, self.origins.clone(), timeout)
    }
}
