//! Performs the fetches of a batch through an account of an engine in this process.
//!
//! A batch decides about retries itself, and slows down for origins that ask for it; a fetch that passes a
//! door is therefore sent once. Limits of origins hold twice: the batch holds items back by them, and the
//! engine applies them to redirects too.

use std::sync::Arc;
use std::time::Duration;

use fetchway_batch::{Handover, Performer, Request, Response};
use fetchway_fetch::{Account, Door, FetchRequest, Hold, RequestBody};
use fetchway_policy::guard::HostPattern;
use fetchway_policy::{FetchError, OriginLimits};
use fetchway_service::Principal;
use tokio::time::Instant;
use url::Url;

/// Memory of an outcome beside its body and header fields, in bytes.
const OUTCOME_WEIGHT: u64 = 1 << 10;

/// A performer whose fetches are sent by an engine in this process.
#[derive(Debug)]
pub struct Local {
    /// Account for the fetches. Its network decides which addresses they may reach.
    pub account: Account,
    /// Limits of origins.
    pub origins: OriginRules,
    /// The client whose lanes may be used; `None` means every configured lane.
    pub principal: Option<Principal>,
    /// Longest time that one try may take, if the request does not ask for less.
    pub timeout: Option<Duration>,
}

/// Limits of origins by host pattern. The first pattern that matches counts.
#[derive(Clone, Debug)]
pub struct OriginRules {
    patterns: Arc<[(HostPattern, OriginLimits)]>,
    others: OriginLimits,
}

impl OriginRules {
    /// Returns rules with these patterns, and the limits of origins that match none.
    #[must_use]
    pub fn new(patterns: Vec<(HostPattern, OriginLimits)>, others: OriginLimits) -> Self {
        let patterns = patterns.into();
        Self { patterns, others }
    }

    fn limits(&self, host: &str) -> OriginLimits {
        let found = self
            .patterns
            .iter()
            .find(|(pattern, _)| pattern.matches(host));
        found.map_or(self.others, |(_, limits)| *limits)
    }
}

impl Local {
    fn fetch(&self, request: &Request) -> Result<FetchRequest, FetchError> {
        let (engine, lane) = (self.account.engine(), request.lane.as_deref());
        let lane = match &self.principal {
            Some(principal) => principal.lane(engine, lane)?,
            None => engine.lane(lane)?,
        };
        let request = request.clone();
        let mut request = request.map(|body, _lane, url| (RequestBody::Full(body), lane, url));
        request.timeouts = request.timeouts.within(self.timeout);
        Ok(request)
    }
}

impl Performer for Local {
    type Hold = Hold;

    async fn perform(
        &self,
        request: &Request,
        handover: &Handover<'_>,
    ) -> Result<(Response, Hold), FetchError> {
        let queued = self.account.queue(self.fetch(request)?);
        let fetched = queued.perform_through(&BatchDoor(handover)).await?;
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
        self.origins.limits(origin.host_str().unwrap_or_default())
    }
}

/// The engine's door, opened by the batch.
struct BatchDoor<'a>(&'a Handover<'a>);

impl Door for BatchDoor<'_> {
    fn pass(&self) -> Option<Instant> {
        self.0.pass()
    }
}
