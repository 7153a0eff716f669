//! A fetch from its beginning to its response header: the loop over redirect hops and tries.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use fetchway_policy::redirect::{self, RedirectMode};
use fetchway_policy::retry::{self, Attempt, Decision, Ended, Progress};
use fetchway_policy::{FetchError, LaneConfig, RetryPolicy};
use http::Response;
use tokio::time::Instant;

use crate::account::{Account, Place};
use crate::admit::Permit;
use crate::answer::Answer;
use crate::body::Source;
use crate::clock::{self, Limits, Timeout, no_connection};
use crate::door::{self, Door};
use crate::exchange::{Outgoing, exchange};
use crate::pool::{Failure, Site};
use crate::request::{FetchRequest, RequestBody, Sending};

type Sent = Result<(Response<()>, Source), Failure>;

/// One fetch: its next request, and the tries so far.
pub(crate) struct Run<'a> {
    account: &'a Account,
    lane: &'a LaneConfig,
    limits: Limits,
    /// Asked before each send.
    door: Option<&'a dyn Door>,
    request: Box<FetchRequest>,
    /// Counts the sent bytes of the request's body.
    sent: Arc<AtomicU64>,
    /// Set when a streamed body has been taken, after which nothing can be sent again.
    spent: bool,
    /// End of the total time, set when the fetch is first dispatched.
    total_until: Option<Instant>,
    redirects: u32,
    /// Sends of this hop, without free resends.
    tries: u32,
    /// Set when the free resend of this hop has been used.
    resent: bool,
    /// Set if the next send is the free one.
    free: bool,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        account: &'a Account,
        door: Option<&'a dyn Door>,
        request: Box<FetchRequest>,
        sent: Arc<AtomicU64>,
    ) -> Self {
        let lane = account.engine().lane_config(request.lane);
        Self {
            account,
            lane,
            limits: Limits::new(lane.clocks, &request.timeouts),
            door,
            request,
            sent,
            spent: false,
            total_until: None,
            redirects: 0,
            tries: 0,
            resent: false,
            free: false,
        }
    }

    pub(crate) async fn perform(
        mut self,
        first: Place,
    ) -> Result<(Box<FetchRequest>, Answer), FetchError> {
        let mut first = Some(first);
        loop {
            let Place { site, turn } = match first.take() {
                Some(place) => place,
                None => self.account.ask(&self.request, true)?,
            };
            // The time in a queue does not count as time of the fetch, neither the first time nor later.
            let left = self.total_until.map_or(self.limits.total.time, |total| {
                total.saturating_duration_since(Instant::now())
            });
            let permit = turn.come().await?;
            self.total_until = Some(clock::after(left));
            if !std::mem::take(&mut self.free) {
                self.tries += 1;
            }
            let sent = self.send(&site).await;
            if let Ok((head, _)) = &sent {
                self.heed_retry_after(&site, head);
            }
            match self.decide(&sent) {
                Decision::Stop => {}
                Decision::Resend => {
                    (self.resent, self.free) = (true, true);
                    continue;
                }
                Decision::Retry(wait) => {
                    if let Ok((head, source)) = sent {
                        self.answer(head, source, permit).let_go().await;
                    } else {
                        drop(permit);
                    }
                    tokio::time::sleep(wait).await;
                    continue;
                }
            }
            let (head, source) = sent.map_err(|failure| failure.error)?;
            let follow = self.follow(&head)?;
            let answer = self.answer(head, source, permit);
            let Some(follow) = follow else {
                return Ok((self.request, answer));
            };
            answer.let_go().await;
            self.apply(follow);
        }
    }

    /// The end of the total time.
    fn total(&self) -> Instant {
        self.total_until.unwrap_or_else(Instant::now)
    }

    async fn send(&mut self, site: &Arc<Site>) -> Sent {
        let (total, limits) = (self.total(), self.limits);
        let left = total.saturating_duration_since(Instant::now());
        let lease = site.checkout(limits.connect.time.min(left)).await;
        let began = Instant::now();
        let lease = lease.map_err(|error| Failure {
            error: match began < total {
                true => no_connection(error, limits.connect),
                false => limits.error(Timeout::Total),
            },
            progress: Progress::Unconnected,
            body: None,
        })?;
        if let Some(door) = self.door {
            door::open(door).await;
        }
        let until = clock::after(limits.header.time).min(total);
        let body = self.take_body();
        let outgoing = Outgoing {
            method: &self.request.method,
            url: &self.request.url,
            headers: &self.request.headers,
            body,
        };
        let late = || {
            limits.error(match until < total {
                true => Timeout::Header,
                false => Timeout::Total,
            })
        };
        let mut sent = exchange(site.clone(), lease, outgoing, (until, late)).await;
        if let Err(failure) = &mut sent
            && let Some(Sending { body, .. }) = failure.body.take()
        {
            (self.request.body, self.spent) = (body, false);
        }
        sent
    }

    /// Returns the body to send now, and keeps a copy for a further send, if possible.
    fn take_body(&mut self) -> Sending {
        let body = match &mut self.request.body {
            RequestBody::Full(bytes) => RequestBody::Full(bytes.clone()),
            stream @ RequestBody::Stream(..) => {
                self.spent = true;
                std::mem::replace(stream, RequestBody::empty())
            }
        };
        Sending {
            body,
            sent: self.sent.clone(),
        }
    }

    fn decide(&self, sent: &Sent) -> Decision {
        let ended = match sent {
            // Nearly all responses need no decision.
            Ok((head, _)) if !retry::RETRYABLE_STATUSES.contains(&head.status().as_u16()) => {
                return Decision::Stop;
            }
            Ok((head, _)) => Ended::Status(head.status()),
            Err(failure) => Ended::Failed(failure.error.name, failure.progress),
        };
        let attempt = Attempt {
            number: self.tries,
            resent: self.resent,
            idempotent: retry::is_idempotent(&self.request.method),
            keyed: retry::has_key(&self.request.headers),
            replayable: !self.spent,
            ended,
            random: rand::random(),
        };
        let policy = match self.door {
            None => self.lane.retry,
            Some(_) => RetryPolicy::default(),
        };
        match retry::decide(&policy, &attempt) {
            // No time is left for another try, so this response is the result.
            Decision::Retry(wait) if clock::after(wait) >= self.total() => Decision::Stop,
            decision => decision,
        }
    }

    fn follow(&self, head: &Response<()>) -> Result<Option<redirect::Follow>, FetchError> {
        if !head.status().is_redirection() || self.request.redirect == RedirectMode::Manual {
            return Ok(None);
        }
        let hop = redirect::Hop {
            url: &self.request.url,
            method: &self.request.method,
            status: head.status(),
            location: redirect::location(head.headers())?,
            followed: self.redirects,
            replayable: !self.spent,
        };
        redirect::decide(self.request.redirect, &hop)
    }

    fn apply(&mut self, follow: redirect::Follow) {
        follow.apply(&mut self.request.headers);
        self.request.url = follow.url;
        self.request.method = follow.method;
        if follow.drop_body {
            (self.request.body, self.spent) = (RequestBody::empty(), false);
        }
        self.redirects += 1;
        (self.tries, self.resent) = (0, false);
    }

    fn heed_retry_after(&self, site: &Site, head: &Response<()>) {
        let (engine, now) = (self.account.engine(), SystemTime::now());
        let cap = engine.retry_after_cap();
        if let Some(wait) = retry::requested_wait(head.status(), head.headers(), now, cap) {
            engine.gate().slow(&site.origin, wait);
        }
    }

    fn answer(&self, head: Response<()>, source: Source, permit: Permit) -> Answer {
        Answer {
            head,
            source,
            permit,
            limits: self.limits,
            total: self.total(),
        }
    }
}
