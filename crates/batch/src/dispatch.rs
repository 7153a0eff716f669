//! What is sent next: a pure machine, driven by `worker`.
//!
//! ```text
//!                    ┌── its origin may be sent to ───────────────┐
//!   input ──▶ ready ─┤                                            ├─▶ in flight ──▶ outcome
//!                    └── not yet ──▶ waiting for its origin ──────┘       │
//!                                          ▲                              │ worth another try
//!                                          └──────────── later ◀──────────┴─ names a page
//! ```
//!
//! Everything that is sent takes a slot of the run's one schedule. Items of an origin that must not be
//! sent to yet wait aside, up to a bound, while the input is read on.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fetchway_policy::{OriginLimits, Rate};
use url::Position;

use crate::cause::{Cause, Slipped};
use crate::job::Job;
use crate::origin::{Ended, Hints};
use crate::origins::{OriginId, Origins};
use crate::schedule::Schedule;

/// Items read ahead. Enough for 50 ms at 20,000 a second; further ones are not read yet.
const READ_AHEAD: usize = 1_024;
/// Bytes of items read ahead.
const READ_AHEAD_BYTES: usize = 16 << 20;
/// Items set aside, as their origin must not be sent to yet or they are to be sent again. Beyond it the
/// run waits for them.
const MAX_ASIDE: usize = 65_536;
/// Bytes of items set aside.
const MAX_ASIDE_BYTES: usize = 48 << 20;
/// Outcomes that wait for longer are not taken fast enough.
const TAKES: Duration = Duration::from_millis(20);

/// The machine. Times are since the run's start.
pub(crate) struct Dispatch {
    pub(crate) schedule: Schedule,
    /// The run's own rate a second.
    most: Option<f64>,
    limit: usize,
    pub(crate) in_flight: usize,
    /// Over, with outcomes that have not been taken: they keep their places in flight.
    pub(crate) untaken: usize,
    /// Since when these are why nothing is sent, and for how long they were before.
    untaken_since: Option<Duration>,
    untaken_before: Duration,
    ready: VecDeque<Box<Job>>,
    ready_bytes: usize,
    pub(crate) origins: Origins,
    /// To be sent again, by time, and pages that follow.
    later: BTreeMap<(Duration, u64), Box<Job>>,
    later_bytes: usize,
    serial: u64,
    /// Those set aside go before those that are ready, in turns.
    aside_first: bool,
    /// Responses may name pages. Then those set aside always go first, or chains would be begun faster
    /// than they end; and while as many are aside as may be, no new one is begun at all.
    pub(crate) follows: bool,
    /// What keeps the next slot from being used, or has kept it since it was due.
    cause: Cause,
    pub(crate) slipped: Slipped,
    /// No more input comes.
    closed: bool,
    pub(crate) stopped: bool,
}

impl Dispatch {
    /// `rate` is the schedule's.
    pub(crate) fn new(rate: Option<Rate>, concurrency: usize) -> Self {
        Self {
            schedule: Schedule::new(rate),
            most: rate.map(Rate::per_second),
            limit: concurrency.max(1),
            in_flight: 0,
            untaken: 0,
            untaken_since: None,
            untaken_before: Duration::ZERO,
            ready: VecDeque::new(),
            ready_bytes: 0,
            origins: Origins::default(),
            later: BTreeMap::new(),
            later_bytes: 0,
            serial: 0,
            aside_first: false,
            follows: false,
            cause: Cause::Late,
            slipped: Slipped::default(),
            closed: false,
            stopped: false,
        }
    }

    /// The highest rate that each origin bears is searched for, if so.
    pub(crate) fn adaptive(mut self, adaptive: bool) -> Self {
        self.origins.adaptive = adaptive;
        self
    }

    /// How many more items may be read.
    pub(crate) fn room(&self) -> usize {
        if self.ready_bytes >= READ_AHEAD_BYTES || self.untaken >= self.limit.max(READ_AHEAD) {
            return 0;
        }
        READ_AHEAD.saturating_sub(self.ready.len())
    }

    /// Whether the reader is to read on, having found no room before.
    pub(crate) fn has_room_again(&self) -> bool {
        self.room() >= READ_AHEAD / 2
    }

    /// An item has been read. `limits` are those of its origin, asked for once.
    pub(crate) fn offer(
        &mut self,
        mut job: Box<Job>,
        now: Duration,
        limits: impl FnOnce(&Job) -> OriginLimits,
    ) {
        if self.stopped {
            return;
        }
        self.enter(&mut job, limits);
        self.ready_bytes += job.weight;
        self.ready.push_back(job);
        self.changed(now);
    }

    fn enter(&mut self, job: &mut Job, limits: impl FnOnce(&Job) -> OriginLimits) {
        job.weight = Job::weigh(&job.request, &job.url);
        // Scheme, host and port, the default port left out.
        let key = &job.request.url[..Position::BeforePath];
        job.origin = self.origins.enter(key, || limits(job));
    }

    /// A response names this page: it is to be sent as soon as may be. To be called before the response
    /// is [`Self::done`].
    pub(crate) fn follow(
        &mut self,
        mut job: Box<Job>,
        now: Duration,
        limits: impl FnOnce(&Job) -> OriginLimits,
    ) {
        if self.stopped {
            return;
        }
        self.enter(&mut job, limits);
        self.later(job, now);
    }

    fn later(&mut self, job: Box<Job>, at: Duration) {
        self.serial += 1;
        self.later_bytes += job.weight;
        self.later.insert((at, self.serial), job);
    }

    /// No more items come.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Nothing more is sent; what has not been is given up.
    pub(crate) fn stop(&mut self) {
        (self.stopped, self.closed) = (true, true);
        let later = std::mem::take(&mut self.later).into_values();
        for job in self.ready.drain(..).chain(later) {
            self.origins.leave(job.origin);
        }
        self.origins.clear();
        (self.ready_bytes, self.later_bytes) = (0, 0);
    }

    /// Whether all that came is over.
    pub(crate) fn is_over(&self) -> bool {
        self.closed && self.ready.is_empty() && self.aside() == 0 && self.in_flight == 0
    }

    /// Items set aside.
    pub(crate) fn aside(&self) -> usize {
        self.origins.waiting + self.later.len()
    }

    fn is_crowded(&self) -> bool {
        self.aside() >= MAX_ASIDE
            || self.origins.waiting_bytes + self.later_bytes >= MAX_ASIDE_BYTES
    }

    /// What is to be sent now, if anything. It is in flight from here on until it is [`Self::done`].
    pub(crate) fn take(&mut self, now: Duration) -> Option<Box<Job>> {
        if self.stopped || self.schedule.next_at() > now {
            return None;
        }
        if self.is_full() {
            self.cause = self.held_by(now);
            return None;
        }
        self.ripen(now);
        let Some(mut job) = self.pick(now) else {
            let nothing = self.ready.is_empty() && self.aside() == 0;
            self.cause = if nothing {
                Cause::Input
            } else {
                Cause::Origins
            };
            return None;
        };
        let slot = self.schedule.take(now);
        self.slipped[self.cause as usize] += slot.slipped;
        self.in_flight += 1;
        self.cause = self.held_by(now);
        let origin = self.origins.at(job.origin);
        origin.in_flight += 1;
        origin.pace.sent(now);
        self.origins.list(job.origin);
        job.tries += 1;
        job.taken = now;
        job.scheduled.get_or_insert(slot.at);
        Some(job)
    }

    /// What keeps the next slot from being used, as things are.
    fn held_by(&self, now: Duration) -> Cause {
        if self.is_full() {
            match self.untaken_since {
                Some(since) if now.saturating_sub(since) >= TAKES => Cause::Output,
                _ => Cause::Concurrency,
            }
        } else if self.ready.is_empty() && self.aside() == 0 {
            Cause::Input
        } else {
            Cause::Late
        }
    }

    /// Another thing may keep the next slot from being used. If none does, and that slot is overdue, what
    /// did until now is to blame.
    fn changed(&mut self, now: Duration) {
        self.note_untaken(now);
        let holds = self.held_by(now);
        if holds != Cause::Late || self.schedule.next_at() > now {
            self.cause = holds;
        }
    }

    /// Whether every place is taken.
    fn is_full(&self) -> bool {
        self.in_flight + self.untaken >= self.limit
    }

    fn note_untaken(&mut self, now: Duration) {
        let holds = self.is_full() && self.untaken > self.in_flight;
        match (holds, self.untaken_since) {
            (true, None) => self.untaken_since = Some(now),
            (false, Some(since)) => {
                self.untaken_since = None;
                self.untaken_before += now.saturating_sub(since);
            }
            _ => {}
        }
    }

    /// For how long outcomes that were not taken kept fetches from being sent.
    pub(crate) fn untaken_time(&self, now: Duration) -> Duration {
        let since = self.untaken_since.unwrap_or(now);
        self.untaken_before + now.saturating_sub(since)
    }

    /// Lets those wait for their origins whose time to be sent again has come.
    fn ripen(&mut self, now: Duration) {
        while let Some(first) = self.later.first_entry()
            && first.key().0 <= now
        {
            let job = first.remove();
            self.later_bytes -= job.weight;
            self.origins.wait(job);
        }
    }

    fn pick(&mut self, now: Duration) -> Option<Box<Job>> {
        if (self.aside_first || self.follows)
            && let Some(job) = self.origins.next(now)
        {
            self.aside_first = false;
            return Some(job);
        }
        if let Some(job) = self.pick_ready(now) {
            self.aside_first = true;
            return Some(job);
        }
        self.origins.next(now)
    }

    fn pick_ready(&mut self, now: Duration) -> Option<Box<Job>> {
        while let Some(first) = self.ready.front() {
            let open = self.origins.is_open(first.origin, now);
            if (!open || self.follows) && self.is_crowded() {
                return None;
            }
            let job = self.ready.pop_front()?;
            self.ready_bytes -= job.weight;
            if open {
                return Some(job);
            }
            self.origins.wait(job);
        }
        None
    }

    /// When to call [`Self::take`] next, if nothing else happens before.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        if self.stopped || self.is_full() {
            return None;
        }
        let ready = self
            .ready
            .front()
            .and_then(|first| match self.is_crowded() {
                true if self.follows => None,
                true => self.origins.opens_at(first.origin),
                false => Some(Duration::ZERO),
            });
        let later = self.later.first_key_value().map(|(key, _)| key.0);
        let item = [ready, self.origins.next_at(), later];
        let item = item.into_iter().flatten().min()?;
        Some(item.max(self.schedule.next_at()))
    }

    /// An answer came to what was sent at `sent`.
    pub(crate) fn answered(
        &mut self,
        origin: OriginId,
        now: Duration,
        sent: Duration,
        hints: &Hints,
    ) {
        let most = self.most;
        let origin = self.origins.at(origin);
        let others = origin.in_flight.saturating_sub(1);
        origin.pace.answered(now, sent, hints, others, most);
    }

    /// What was sent at `sent` has ended, for whoever searches for the rate that its origin bears.
    pub(crate) fn ended(&mut self, origin: OriginId, now: Duration, sent: Duration, ended: Ended) {
        let most = self.most;
        self.origins.at(origin).pace.ended(now, sent, ended, most);
        self.origins.relist(origin);
    }

    /// What was in flight is to be sent again at `at`.
    pub(crate) fn again(&mut self, job: Box<Job>, now: Duration, at: Duration) {
        self.landed(job.origin, now);
        if self.stopped {
            self.origins.leave(job.origin);
            return;
        }
        self.later(job, at);
    }

    /// What was in flight is over. Its outcome keeps its place until it is [`Self::taken`].
    pub(crate) fn done(&mut self, origin: OriginId, now: Duration) {
        self.untaken += 1;
        self.landed(origin, now);
        self.origins.leave(origin);
    }

    /// An item that was never sent has an outcome.
    pub(crate) fn wrong(&mut self, now: Duration) {
        self.untaken += 1;
        self.changed(now);
    }

    /// So many outcomes were taken.
    pub(crate) fn taken(&mut self, count: usize, now: Duration) {
        self.changed(now);
        self.untaken -= count;
        self.changed(now);
    }

    fn landed(&mut self, origin: OriginId, now: Duration) {
        self.in_flight -= 1;
        self.origins.at(origin).in_flight -= 1;
        self.origins.list(origin);
        self.changed(now);
    }
}

#[cfg(test)]
mod tests;
