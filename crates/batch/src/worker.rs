//! The tasks of a run: its reader, its timer, and its workers.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use fetchway_policy::retry::{self, Attempt, Decision, Ended, Progress};
use fetchway_policy::{ErrorName, FetchError, RetryPolicy};
use futures_util::Stream;
use tokio::task::JoinSet;
use url::Url;

use crate::follow::{self, Follow};
use crate::handover::Handover;
use crate::item::Item;
use crate::job::Job;
use crate::origin::{Ended as Met, Hints, Refused};
use crate::outbox::Outbox;
use crate::outcome::{Outcome, Response, Timing};
use crate::perform::Performer;
use crate::run::Done;
use crate::shared::{Shared, State};

/// What the tasks of a run share. The outcomes end when the last task is gone.
pub(crate) struct Desk<P: Performer> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) performer: P,
    pub(crate) retry: RetryPolicy,
    /// Refusals of an item that do not count as its tries.
    pub(crate) spared: u32,
    pub(crate) wait_cap: Duration,
    pub(crate) outbox: Arc<Outbox<P::Hold>>,
    pub(crate) follow: Option<Follow>,
    pub(crate) follow_most: u32,
    pub(crate) tasks: Arc<Tasks>,
}

/// The tasks of a run; none when its outcomes were dropped, and all ends.
pub(crate) type Tasks = Mutex<Option<JoinSet<()>>>;

type Performed<P> = Result<(Response, <P as Performer>::Hold), FetchError>;

/// Reads items while there is room for them.
pub(crate) async fn read<P: Performer>(desk: Arc<Desk<P>>, items: impl Stream<Item = Item> + Send) {
    let _watch = Watch {
        shared: &desk.shared,
        flying: 0,
    };
    let mut items = pin!(items);
    let mut batch: Vec<Item> = Vec::new();
    loop {
        let room = {
            let mut state = desk.shared.state();
            if state.dispatch.stopped {
                return;
            }
            let room = state.dispatch.room();
            state.reader_waits = room == 0;
            room
        };
        if room == 0 {
            desk.shared.room.notified().await;
            continue;
        }
        // What is there comes at once, under one lock.
        let gathered = poll_fn(|cx| {
            while batch.len() < room {
                match items.as_mut().poll_next(cx) {
                    Poll::Ready(Some(item)) => batch.push(item),
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Pending if batch.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(false)
        });
        let ended = tokio::select! {
            ended = gathered => ended,
            // Stopped.
            () = desk.shared.room.notified() => continue,
        };
        desk.offer(&mut batch);
        if ended {
            desk.shared.state().dispatch.close();
            desk.shared.moved.notify_one();
            return;
        }
    }
}

/// Starts what is due, when it is.
pub(crate) async fn time<P: Performer>(desk: Arc<Desk<P>>) {
    let shared = &desk.shared;
    let _watch = Watch { shared, flying: 0 };
    loop {
        let deadline = {
            let mut state = shared.state();
            desk.start(&mut state);
            if state.dispatch.is_over() {
                return;
            }
            state.armed = state.dispatch.next_at();
            state.armed
        };
        match deadline {
            None => shared.moved.notified().await,
            Some(at) => {
                // Either the time has come or it has moved; both mean to look again.
                let moved = shared.moved.notified();
                let _ = tokio::time::timeout_at(shared.clock.instant(at), moved).await;
            }
        }
    }
}

/// Performs a fetch, and the next that is due, until none is.
async fn work<P: Performer>(desk: Arc<Desk<P>>, mut job: Box<Job>) {
    let _watch = Watch {
        shared: &desk.shared,
        flying: 1,
    };
    loop {
        let handover = Handover::new(&desk.shared, job.tries > 1);
        let performed = desk.performer.perform(&job.request, &handover).await;
        match desk.ended(job, performed, &handover) {
            Some(next) => job = next,
            None => return,
        }
    }
}

/// A task that panics would be waited for for ever, be it for its items, its time or its place: the run
/// is stopped instead, and what it still owes is told by what has no outcome.
struct Watch<'a> {
    shared: &'a Shared,
    /// Fetches in flight that it performs.
    flying: usize,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            {
                let mut state = self.shared.state();
                state.dispatch.in_flight -= self.flying;
                state.tally.panicked = true;
            }
            self.shared.stop();
        }
    }
}

impl<P: Performer> Drop for Desk<P> {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

impl<P: Performer> Desk<P> {
    /// Hands items to the dispatch; those that are wrong have their outcome at once.
    fn offer(self: &Arc<Self>, batch: &mut Vec<Item>) {
        let mut state = self.shared.state();
        let now = self.shared.clock.now();
        for item in batch.drain(..) {
            state.tally.read += 1;
            match item.request {
                Ok(request) => {
                    let place = (item.index, item.depth);
                    let job = Job::new(place, item.id, item.url, item.fingerprint, request);
                    let limits = |job: &Job| self.performer.limits(&job.request.url);
                    state.dispatch.offer(job, now, limits);
                }
                Err(error) => {
                    let outcome = Outcome {
                        index: item.index,
                        depth: item.depth,
                        id: item.id,
                        fingerprint: item.fingerprint,
                        url: item.url,
                        result: Err(error),
                        next: None,
                        attempts: 0,
                        timing: Timing {
                            end: self.shared.clock.epoch(now),
                            ..Timing::default()
                        },
                    };
                    state.dispatch.wrong(now);
                    let hold = None;
                    self.give(&mut state, Done { outcome, hold }, false);
                }
            }
        }
        self.start(&mut state);
    }

    /// Counts an outcome, and gives it to whoever takes them. A page follows it if the run `goes_on` with
    /// the one that it names.
    fn give(&self, state: &mut State, done: Done<P::Hold>, goes_on: bool) {
        state.tally.ended(&done.outcome, goes_on);
        self.outbox.put(done);
    }

    /// Starts workers for all that is due, and sees to it that the timer wakes for the rest.
    fn start(self: &Arc<Self>, state: &mut State) {
        let now = self.shared.clock.now();
        while let Some(job) = state.dispatch.take(now) {
            let mut tasks = Shared::lock(&self.tasks);
            let Some(tasks) = tasks.as_mut() else {
                // Nobody asks for its outcome.
                return;
            };
            state.tally.began(&job);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(Box::pin(work(Arc::clone(self), job)));
        }
        self.shared.settle(state);
    }

    /// A try is over. Gives what to do next.
    fn ended(
        self: &Arc<Self>,
        mut job: Box<Job>,
        performed: Performed<P>,
        handover: &Handover<'_>,
    ) -> Option<Box<Job>> {
        let shared = &self.shared;
        let now = shared.clock.now();
        job.attempts += u32::from(handover.requests() > 0);
        let hints = match &performed {
            Ok((response, _)) => Hints::read(response.status, &response.headers, self.wait_cap),
            Err(_) => Hints::default(),
        };
        job.refused += u32::from(hints.refused == Some(Refused::TooMany));
        let retry = RetryPolicy {
            attempts: (self.retry.attempts).saturating_add(job.refused.min(self.spared)),
            ..self.retry
        };
        let decision = retry::decide(&retry, &attempt(&job, &performed));
        let origin = job.origin;
        {
            let mut state = shared.state();
            state.tally.refused += u64::from(hints.refused.is_some());
            let sent = handover.sent_at();
            if performed.is_ok() {
                let sent = sent.unwrap_or(now);
                state.dispatch.answered(origin, now, sent, &hints);
            }
            let (sent, met) = (sent.unwrap_or(job.taken), met(&performed, &hints, handover));
            state.dispatch.ended(origin, now, sent, met);
            if state.dispatch.stopped && is_given_back(&performed) {
                // A run that is stopped sends nothing again, and has no outcome of it.
                state.dispatch.again(job, now, now);
                return self.next(&mut state, now);
            }
            if let Decision::Retry(wait) = decision {
                state.dispatch.again(job, now, now + wait);
                return self.next(&mut state, now);
            }
        }
        let (next, page) = self.follow(&job, &performed);
        let done = self.outcome(job, performed, next, handover, now);
        let mut state = shared.state();
        // Before a page that it names can be sent: its line comes before that page's.
        self.give(&mut state, done, page.is_some());
        if let Some(page) = page {
            let limits = |page: &Job| self.performer.limits(&page.request.url);
            state.dispatch.follow(page, now, limits);
        }
        state.dispatch.done(origin, now);
        self.next(&mut state, now)
    }

    /// The page that a response names, and the job to fetch it, unless there were as many as may be.
    fn follow(&self, job: &Job, performed: &Performed<P>) -> (Option<Url>, Option<Box<Job>>) {
        let (Some(follow), Ok((response, _))) = (&self.follow, performed) else {
            return (None, None);
        };
        if !follow::may_go_on(&job.request) {
            return (None, None);
        }
        let next = follow.next(response);
        let within = next.as_ref().filter(|_| job.depth < self.follow_most);
        let page = within.map(|url| {
            let left = follow::leaves(&job.request.url, url);
            let request = job.request.for_page(url.clone(), left);
            let place = (job.index, job.depth + 1);
            Job::new(
                place,
                job.id.clone(),
                url.to_string(),
                job.fingerprint,
                request,
            )
        });
        (next, page)
    }

    /// What this worker does next. If that is something, there may be more.
    fn next(self: &Arc<Self>, state: &mut State, now: Duration) -> Option<Box<Job>> {
        let next = state.dispatch.take(now);
        if let Some(job) = &next {
            state.tally.began(job);
        }
        self.start(state);
        next
    }

    fn outcome(
        &self,
        job: Box<Job>,
        performed: Performed<P>,
        next: Option<Url>,
        handover: &Handover<'_>,
        now: Duration,
    ) -> Done<P::Hold> {
        let clock = &self.shared.clock;
        let (result, hold) = match performed {
            Ok((response, hold)) => (Ok(response), Some(hold)),
            Err(error) => (Err(error), None),
        };
        let epoch = |at: Duration| clock.epoch(at);
        let outcome = Outcome {
            index: job.index,
            depth: job.depth,
            id: job.id,
            fingerprint: job.fingerprint,
            url: job.url,
            result,
            next,
            attempts: job.attempts,
            timing: Timing {
                scheduled: job.scheduled.map(epoch).unwrap_or_default(),
                sent: handover.sent_at().map(epoch),
                first_byte: handover.answered_at().map(epoch),
                end: epoch(now),
            },
        };
        Done { outcome, hold }
    }
}

/// What a try says of how much its origin bears.
fn met<H>(
    performed: &Result<(Response, H), FetchError>,
    hints: &Hints,
    handover: &Handover<'_>,
) -> Met {
    match (performed, hints.refused) {
        (Ok(_), Some(refused)) => Met::Refused(refused),
        (Ok(_), None) => match (handover.sent_at(), handover.answered_at()) {
            (Some(sent), Some(answered)) => Met::Answered(answered.saturating_sub(sent)),
            _ => Met::Otherwise,
        },
        (Err(error), _) => match error.name {
            ErrorName::ConnectionRefused
            | ErrorName::ConnectionTerminated
            | ErrorName::ConnectionTimeout
            | ErrorName::ConnectionReadTimeout
            | ErrorName::HttpResponseIncomplete
            | ErrorName::HttpResponseTimeout => Met::Failed,
            _ => Met::Otherwise,
        },
    }
}

/// Whether a performer that was told of the stop has ended a fetch before it was made.
fn is_given_back<H>(performed: &Result<(Response, H), FetchError>) -> bool {
    matches!(performed, Err(error) if error.name == ErrorName::Cancelled)
}

/// A try, as the rules for retries see it. A body that was cut short counts as its connection lost:
/// nobody has seen anything of it.
fn attempt<H>(job: &Job, performed: &Result<(Response, H), FetchError>) -> Attempt {
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
        number: job.tries,
        // What may be sent again at once has been, by the performer.
        resent: true,
        idempotent: retry::is_idempotent(&job.request.method),
        keyed: retry::has_key(&job.request.headers),
        replayable: true,
        ended,
        random: rand::random(),
    }
}
