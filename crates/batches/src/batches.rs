//! The batches of one node, and how each begins.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fetchway_fetch::{AccountLimits, Engine};
use fetchway_performers::{Local, OriginRules};
use fetchway_policy::{FetchError, RetryPolicy};
use fetchway_service::problem::{Answer, problem};
use fetchway_service::{Phase, Principal, Shutdown};
use futures_util::Stream;
use http::StatusCode;

use crate::items::Items;
use crate::lines::{Failure, Lines};
use crate::order::Order;
use crate::params::Params;

/// Media type of the outcomes' lines.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// Bounds of the batches of a node.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Batches of one credential that run at once. More are refused with 429.
    pub at_once: usize,
    /// Fetches of one batch in flight. A batch that asks for more is refused with 400.
    pub concurrency: usize,
    /// Bytes of outcomes held back for their order. Beyond it the batch ends with `limit_exceeded`.
    pub held: usize,
    /// Bytes of items over HTTP that wait for the batch. Beyond it the batch ends with `limit_exceeded`.
    pub spool: u64,
    /// The part of `spool` that is kept in memory. The rest is kept in a file.
    pub spool_memory: u64,
    /// Folder of that file; empty for the system's folder for temporary files.
    pub spool_dir: PathBuf,
    /// Time after which a batch over HTTP ends if its client sends no items while all are answered, or takes
    /// no outcomes.
    pub idle_timeout: Duration,
}

/// The batches of one node.
#[derive(Debug)]
pub struct Batches {
    engine: Engine,
    origins: OriginRules,
    pub(crate) limits: Limits,
    /// Pauses between tries. The number of tries is a parameter of each batch.
    retry: RetryPolicy,
    /// Longest `Retry-After` that is obeyed.
    retry_after_cap: Duration,
    pub(crate) shutdown: Shutdown,
}

/// Reason why a batch has not begun.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The query is wrong, or asks for more than is allowed.
    Params(String),
    /// All places for batches of the credential are taken: so many.
    Full(usize),
    /// The node is shutting down.
    ShuttingDown,
}

impl Refused {
    /// Returns the answer that tells the client.
    pub(crate) fn answer(&self) -> Answer {
        match self {
            Self::Params(detail) => problem(StatusCode::BAD_REQUEST, detail),
            Self::Full(most) => {
                let detail = format!(
                    "{most} batches of this token are running, which is the maximum \
                     (batch.max-at-once): wait until one of them ends, or add your items to it."
                );
                problem(StatusCode::TOO_MANY_REQUESTS, &detail)
            }
            Self::ShuttingDown => {
                let detail = "This node is shutting down and begins no batches: send the batch to \
                              another node, or again later.";
                problem(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
        }
    }
}

impl Batches {
    /// Returns the batches of a node that fetches through `engine`. `retry` gives the pauses between tries;
    /// a `Retry-After` is obeyed up to `retry_after_cap`.
    #[must_use]
    pub fn new(
        engine: Engine,
        origins: OriginRules,
        limits: Limits,
        (retry, retry_after_cap): (RetryPolicy, Duration),
        shutdown: Shutdown,
    ) -> Self {
        Self {
            engine,
            origins,
            limits,
            retry,
            retry_after_cap,
            shutdown,
        }
    }

    /// Begins a batch on behalf of `principal`. `query` has its parameters, and `input` brings its items as
    /// JSON lines. If the input fails, the batch ends when the items before are answered.
    pub(crate) fn begin(
        &self,
        principal: &Principal,
        query: &str,
        input: impl Stream<Item = Result<Bytes, FetchError>> + Send + Unpin + 'static,
    ) -> Result<Lines, Refused> {
        let most = self.limits.concurrency.min(principal.limits.in_flight);
        let params = Params::read(query, most).map_err(Refused::Params)?;
        if self.shutdown.phase() != Phase::Serving {
            return Err(Refused::ShuttingDown);
        }
        let place = principal.places.batch();
        let place = place.ok_or(Refused::Full(self.limits.at_once))?;
        let config = params.settings.config(self.retry, self.retry_after_cap);
        let failure = Failure::default();
        let order = params
            .ordered
            .then(|| Order::new(self.limits.held, config.concurrency));
        let items = Items::new(
            input,
            principal.limits.message,
            order.clone(),
            Arc::clone(&failure),
        );
        let performer = self.performer(principal, params.timeout);
        let (outcomes, handle) = fetchway_batch::run(&config, items, performer);
        tracing::debug!(client = %principal.name, query, "batch started");
        Ok(Lines::new(
            (outcomes, handle),
            order,
            failure,
            (self.shutdown.clone(), place),
        ))
    }

    /// Returns the performer of one batch: an account of the engine, with the rights of its principal.
    fn performer(&self, principal: &Principal, timeout: Option<Duration>) -> Local {
        // The batch has bounds of its own for items that wait, which are tighter.
        let most = usize::MAX >> 1;
        let limits = AccountLimits {
            in_flight: principal.limits.in_flight,
            queued: most,
            queued_bytes: most,
        };
        Local {
            account: principal.account(&self.engine, limits),
            origins: self.origins.clone(),
            principal: Some(principal.clone()),
            timeout,
        }
    }
}
