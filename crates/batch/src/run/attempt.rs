//! Judges a try that has ended: what it says about its origin, whether it is repeated, and its outcome.

use std::time::Duration;

use fetchway_dispatch::{AttemptEnd, Hints, Pending, Refusal};
use fetchway_policy::retry::{self, Attempt, Decision, Ended, Progress};
use fetchway_policy::{ErrorName, FetchError, RetryPolicy};
use url::Url;

use super::clock::Clock;
use super::fetch::Fetch;
use super::handover::Handover;
use crate::follow::{self, Follow};
use crate::outcome::{Done, Outcome, Response, Timing};

/// Rules by which tries are judged.
pub(crate) struct Rules {
    pub(crate) retry: RetryPolicy,
    /// Refusals of an item that do not count as its tries.
    pub(crate) spared: u32,
    /// Longest time for which an origin may have the run wait.
    pub(crate) wait_cap: Duration,
    pub(crate) follow: Option<Follow>,
    pub(crate) follow_most: u32,
}

/// Result of a try, with the reservation of memory for its response.
pub(crate) type Performed<H> = Result<(Response, H), FetchError>;

/// Judgement of a try.
pub(crate) struct Judgement {
    pub(crate) end: AttemptEnd,
    /// Pause before the next try; none if the fetch is not tried again.
    pub(crate) retry_after: Option<Duration>,
    /// The performer returned the fetch unsent, because the run was stopped.
    pub(crate) returned: bool,
}

impl Judgement {
    /// Returns true for a response of 429 or 503.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(&self.end, AttemptEnd::Response { hints, .. } if hints.refused.is_some())
    }
}

impl Rules {
    /// Judges a try that ended at `now`, and counts it in its fetch.
    pub(crate) fn judge<H>(
        &self,
        fetch: &mut Pending<Fetch>,
        performed: &Performed<H>,
        handover: &Handover<'_>,
        (clock, now): (&Clock, Duration),
    ) -> Judgement {
        let tries = fetch.tries();
        let item = &mut fetch.item;
        item.attempts += u32::from(handover.requests() > 0);
        let end = match performed {
            Ok((response, _)) => {
                let wall = clock.system_time(now);
                let hints = Hints::read(response.status, &response.headers, wall, self.wait_cap);
                item.refusals += u32::from(hints.refused == Some(Refusal::TooMany));
                AttemptEnd::Response {
                    hints,
                    latency: handover.latency(),
                }
            }
            Err(error) => failure(error.name),
        };
        let policy = RetryPolicy {
            retries: (self.retry.retries).saturating_add(item.refusals.min(self.spared)),
            ..self.retry
        };
        Judgement {
            end,
            retry_after: match retry::decide(&policy, &attempt(item, tries, performed)) {
                Decision::Retry(wait) => Some(wait),
                Decision::Stop | Decision::Resend => None,
            },
            returned: matches!(performed, Err(error) if error.name == ErrorName::Cancelled),
        }
    }

    /// The next page that a response names, and the fetch of it, unless the item has as many pages as are
    /// followed.
    pub(crate) fn follow<H>(
        &self,
        fetch: &Fetch,
        performed: &Performed<H>,
    ) -> (Option<Url>, Option<Box<Pending<Fetch>>>) {
        let (Some(follow), Ok((response, _))) = (&self.follow, performed) else {
            return (None, None);
        };
        if !follow::may_continue(&fetch.request) {
            return (None, None);
        }
        let next = follow.next(response);
        let within = next.as_ref().filter(|_| fetch.depth < self.follow_most);
        let page = within.map(|url| fetch.page(url));
        (next, page)
    }
}

/// Makes the outcome of a fetch whose last try ended at `now`.
pub(crate) fn outcome<H>(
    fetch: Pending<Fetch>,
    performed: Performed<H>,
    next: Option<Url>,
    handover: &Handover<'_>,
    (clock, now): (&Clock, Duration),
) -> Done<H> {
    let epoch = |at: Duration| clock.epoch(at);
    let scheduled = fetch.scheduled().map(epoch).unwrap_or_default();
    let item = fetch.item;
    let (result, hold) = match performed {
        Ok((response, hold)) => (Ok(response), Some(hold)),
        Err(error) => (Err(error), None),
    };
    let outcome = Outcome {
        index: item.index,
        depth: item.depth,
        id: item.id,
        fingerprint: item.fingerprint,
        url: item.url,
        result,
        next,
        attempts: item.attempts,
        timing: Timing {
            scheduled,
            sent: handover.sent_at().map(epoch),
            first_byte: handover.answered_at().map(epoch),
            end: epoch(now),
        },
    };
    Done { outcome, hold }
}

/// Says whether a failure speaks of its origin.
fn failure(name: ErrorName) -> AttemptEnd {
    match name {
        ErrorName::ConnectionRefused
        | ErrorName::ConnectionTerminated
        | ErrorName::ConnectionTimeout
        | ErrorName::ConnectionReadTimeout
        | ErrorName::HttpResponseIncomplete
        | ErrorName::HttpResponseTimeout => AttemptEnd::Failed,
        _ => AttemptEnd::Unrelated,
    }
}

/// Describes a try for the rules of retries. A body that was cut short counts as a lost connection, because
/// nobody has seen any of it.
fn attempt<H>(fetch: &Fetch, tries: u32, performed: &Performed<H>) -> Attempt {
    let ended = match performed {
        Ok((response, _)) => Ended::Status(response.status),
        Err(error) => {
            let name = match error.name {
                ErrorName::HttpResponseIncomplete => ErrorName::ConnectionTerminated,
                name => name,
            };
            Ended::Failed(name, Progress::ResponseBegun)
        }
    };
    Attempt {
        number: tries,
        // The performer has resent what may be sent again at once.
        resent: true,
        idempotent: retry::is_idempotent(&fetch.request.method),
        keyed: retry::has_key(&fetch.request.headers),
        replayable: true,
        ended,
        random: rand::random(),
    }
}
