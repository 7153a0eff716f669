//! Which item is sent next: a pure machine.
//!
//! ```text
//!                    ┌── its origin may be sent to ───────────────┐
//!   input ──▶ ready ─┤                                            ├─▶ in flight ──▶ outcome
//!                    └── not yet ──▶ waiting for its origin ──────┘       │
//!                                          ▲                              │ worth another try
//!                                          └──────────── later ◀──────────┴─ names a page
//! ```
//!
//! The driver reports events with `handle_…` methods, asks with [`Dispatch::take_due`] for the items to send
//! now, and with [`Dispatch::next_at`] when to ask again. Every item that is sent takes a slot of the run's
//! one schedule. Items of an origin that must not be sent to yet are set aside, up to a bound, while the
//! input is read on.

mod config;
mod queues;

use std::time::Duration;

use fetchway_policy::{OriginLimits, Rate};

use crate::cause::{Cause, Slips};
use crate::origins::{FoundRates, OriginId, Origins};
use crate::pace::{AttemptEnd, Verdict};
use crate::pending::{Dispatchable, Pending};
use crate::schedule::Schedule;
use crate::untaken::Untaken;
use config::Phase;
use queues::{Later, Ready};

pub use config::DispatchConfig;

/// Items read ahead. Enough for 50 ms at 20,000 a second; further items are not read yet.
const READ_AHEAD: usize = 1_024;
/// Bytes of items read ahead.
const READ_AHEAD_BYTES: usize = 16 << 20;
/// Items set aside because their origin must not be sent to yet, or because they are tried again later. Beyond
/// this number the run waits for them.
const MAX_ASIDE: usize = 65_536;
/// Bytes of items set aside.
const MAX_ASIDE_BYTES: usize = 48 << 20;

/// The machine. Times are since the run's start.
pub struct Dispatch<T> {
    config: DispatchConfig,
    phase: Phase,
    schedule: Schedule,
    in_flight: usize,
    untaken: Untaken,
    ready: Ready<T>,
    origins: Origins<T>,
    later: Later<T>,
    /// Items set aside go before those that are ready this time: they take turns.
    aside_first: bool,
    /// Reason why the next slot cannot be used, or could not be used since it was due.
    cause: Cause,
    slips: Slips,
}

impl<T: Dispatchable> Dispatch<T> {
    /// A dispatch without items.
    #[must_use]
    pub fn new(config: DispatchConfig) -> Self {
        Self {
            config: DispatchConfig {
                concurrency: config.concurrency.max(1),
                ..config
            },
            phase: Phase::Reading,
            schedule: Schedule::new(config.rate),
            in_flight: 0,
            untaken: Untaken::default(),
            ready: Ready::default(),
            origins: Origins::new(config.adaptive),
            later: Later::default(),
            aside_first: false,
            cause: Cause::Late,
            slips: Slips::default(),
        }
    }

    /// Number of items for which there is room.
    #[must_use]
    pub fn room(&self) -> usize {
        let untaken = self.untaken.count >= self.config.concurrency.max(READ_AHEAD);
        if untaken || self.ready.bytes() >= READ_AHEAD_BYTES {
            return 0;
        }
        READ_AHEAD.saturating_sub(self.ready.len())
    }

    /// Returns true if there is enough room to wake a reader that found none.
    #[must_use]
    pub fn is_worth_reading(&self) -> bool {
        self.room() >= READ_AHEAD / 2
    }

    /// An item has been read. `limits` returns those of its origin, and is called once for each origin.
    pub fn handle_item(
        &mut self,
        mut item: Box<Pending<T>>,
        now: Duration,
        limits: impl FnOnce(&T) -> OriginLimits,
    ) {
        if self.is_stopped() {
            return;
        }
        item.origin = self.origins.enter(&item.item, limits);
        self.ready.push(item);
        self.note_cause(now);
    }

    /// An item was read that cannot be sent. Its outcome counts as untaken.
    pub fn handle_unsendable(&mut self, now: Duration) {
        self.untaken.count += 1;
        self.note_cause(now);
    }

    /// A response names an item, to be sent as soon as possible. Must be called before
    /// [`Self::handle_outcome`] of that response.
    pub fn handle_follow_up(
        &mut self,
        mut item: Box<Pending<T>>,
        now: Duration,
        limits: impl FnOnce(&T) -> OriginLimits,
    ) {
        if self.is_stopped() {
            return;
        }
        item.origin = self.origins.enter(&item.item, limits);
        self.later.push(item, now);
    }

    /// No more items come from the input.
    pub fn handle_input_end(&mut self) {
        if self.phase == Phase::Reading {
            self.phase = Phase::Closed;
        }
    }

    /// The run is stopped: nothing more is sent, and items that are not in flight are discarded.
    pub fn handle_stop(&mut self) {
        self.phase = Phase::Stopped;
        for item in self.ready.drain().chain(self.later.drain()) {
            self.origins.leave(item.origin);
        }
        self.origins.clear();
    }

    /// An attempt has ended; its last request was handed to a connection at `sent`, if any was. Followed by
    /// [`Self::handle_retry`] or [`Self::handle_outcome`].
    pub fn handle_end(
        &mut self,
        item: &Pending<T>,
        sent: Option<Duration>,
        end: &AttemptEnd,
        now: Duration,
    ) {
        let most = self.config.rate.map(Rate::per_second);
        self.origins.learn(item.origin, |pace, others| {
            let verdict = match end {
                AttemptEnd::Response { hints, latency } => {
                    pace.handle_response(now, sent.unwrap_or(now), hints, others, most);
                    match (hints.refused, latency) {
                        (Some(refusal), _) => Verdict::Refused(refusal),
                        (None, Some(latency)) => Verdict::Answered(*latency),
                        (None, None) => Verdict::Unrelated,
                    }
                }
                AttemptEnd::Failed => Verdict::Failed,
                AttemptEnd::Unrelated => Verdict::Unrelated,
            };
            pace.handle_verdict(now, sent.unwrap_or(item.taken), verdict, most);
        });
    }

    /// An item that was in flight is to be sent again at `at`. A stopped run discards it.
    pub fn handle_retry(&mut self, item: Box<Pending<T>>, now: Duration, at: Duration) {
        self.land(item.origin, now);
        if self.is_stopped() {
            self.origins.leave(item.origin);
            return;
        }
        self.later.push(item, at);
    }

    /// An item of this origin that was in flight has its outcome, which keeps the item's place until
    /// [`Self::handle_taken`].
    pub fn handle_outcome(&mut self, origin: OriginId, now: Duration) {
        self.untaken.count += 1;
        self.land(origin, now);
        self.origins.leave(origin);
    }

    /// This many outcomes were taken.
    pub fn handle_taken(&mut self, count: usize, now: Duration) {
        self.note_cause(now);
        self.untaken.count -= count;
        self.note_cause(now);
    }

    /// A request was sent beside the schedule, such as a redirect: it takes the next slot.
    pub fn handle_extra_request(&mut self) {
        self.schedule.skip();
    }

    /// This many items in flight are lost without an outcome, because whoever performed them has panicked.
    pub fn handle_lost(&mut self, count: usize) {
        self.in_flight -= count;
    }

    /// Takes the item to send now, if any is due. The item is in flight until [`Self::handle_retry`] or
    /// [`Self::handle_outcome`].
    pub fn take_due(&mut self, now: Duration) -> Option<Box<Pending<T>>> {
        if self.is_stopped() || self.schedule.next_at() > now {
            return None;
        }
        if self.is_full() {
            self.cause = self.blocked_by(now);
            return None;
        }
        while let Some(item) = self.later.pop_due(now) {
            self.origins.wait(item);
        }
        let Some(mut item) = self.pick(now) else {
            self.cause = match self.is_empty() {
                true => Cause::Input,
                false => Cause::Origins,
            };
            return None;
        };
        let slot = self.schedule.take(now);
        self.slips[self.cause as usize] += slot.slipped;
        self.in_flight += 1;
        self.cause = self.blocked_by(now);
        self.origins.handle_sent(item.origin, now);
        item.tries += 1;
        item.taken = now;
        item.scheduled.get_or_insert(slot.at);
        Some(item)
    }

    /// Time at which to call [`Self::take_due`] next, if no event comes before; none if only an event can make
    /// an item due.
    #[must_use]
    pub fn next_at(&self) -> Option<Duration> {
        if self.is_stopped() || self.is_full() {
            return None;
        }
        let ready =
            self.ready
                .front()
                .and_then(|first| match (self.is_crowded(), self.config.chains) {
                    (false, _) => Some(Duration::ZERO),
                    (true, false) => self.origins.opens_at(first.origin),
                    (true, true) => None,
                });
        let times = [ready, self.origins.next_at(), self.later.next_at()];
        let first = times.into_iter().flatten().min()?;
        Some(first.max(self.schedule.next_at()))
    }

    /// Returns true once the input has ended and no item is left, ready, aside or in flight.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase != Phase::Reading && self.is_empty() && self.in_flight == 0
    }

    /// Returns true once the run was stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// Number of items in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Number of items set aside: they wait for their origin, or to be tried again.
    #[must_use]
    pub fn aside(&self) -> usize {
        self.origins.waiting() + self.later.len()
    }

    /// Time by which the schedule has slipped so far, and why.
    #[must_use]
    pub fn slips(&self) -> Slips {
        self.slips
    }

    /// Time for which outcomes that were not taken kept items from being sent.
    #[must_use]
    pub fn untaken_time(&self, now: Duration) -> Duration {
        self.untaken.blocked(now)
    }

    /// Number of origins that are slowed now.
    #[must_use]
    pub fn slowed_origins(&self, now: Duration) -> usize {
        self.origins.slowed(now)
    }

    /// Requests a second that the origins of items in the run may be sent together, in an adaptive run.
    #[must_use]
    pub fn allowed_rate(&self) -> Option<f64> {
        self.origins.allowed()
    }

    /// Rates found so far, in an adaptive run.
    #[must_use]
    pub fn found_rates(&self) -> Option<FoundRates> {
        self.origins.found()
    }

    /// Returns true if no item is ready or set aside.
    fn is_empty(&self) -> bool {
        self.ready.len() == 0 && self.aside() == 0
    }

    /// Returns true if every place in flight is taken.
    fn is_full(&self) -> bool {
        self.in_flight + self.untaken.count >= self.config.concurrency
    }

    /// Returns true if no further item may be set aside.
    fn is_crowded(&self) -> bool {
        self.aside() >= MAX_ASIDE
            || self.origins.waiting_bytes() + self.later.bytes() >= MAX_ASIDE_BYTES
    }

    /// Reason why the next slot cannot be used now.
    fn blocked_by(&self, now: Duration) -> Cause {
        match (self.is_full(), self.is_empty()) {
            (true, _) if self.untaken.is_slow(now) => Cause::Output,
            (true, _) => Cause::Concurrency,
            (false, true) => Cause::Input,
            (false, false) => Cause::Late,
        }
    }

    /// Notes what keeps the next slot from being used. If nothing does and that slot is overdue, the cause so
    /// far stays.
    fn note_cause(&mut self, now: Duration) {
        let blocking = self.is_full() && self.untaken.count > self.in_flight;
        self.untaken.set_blocking(blocking, now);
        let cause = self.blocked_by(now);
        if cause != Cause::Late || self.schedule.next_at() > now {
            self.cause = cause;
        }
    }

    /// An item of this origin is no longer in flight.
    fn land(&mut self, origin: OriginId, now: Duration) {
        self.in_flight -= 1;
        self.origins.handle_landed(origin);
        self.note_cause(now);
    }

    fn pick(&mut self, now: Duration) -> Option<Box<Pending<T>>> {
        if (self.aside_first || self.config.chains)
            && let Some(item) = self.origins.take_open(now)
        {
            self.aside_first = false;
            return Some(item);
        }
        if let Some(item) = self.pick_ready(now) {
            self.aside_first = true;
            return Some(item);
        }
        self.origins.take_open(now)
    }

    fn pick_ready(&mut self, now: Duration) -> Option<Box<Pending<T>>> {
        while let Some(first) = self.ready.front() {
            let open = self.origins.is_open(first.origin, now);
            if (!open || self.config.chains) && self.is_crowded() {
                return None;
            }
            let item = self.ready.pop()?;
            if open {
                return Some(item);
            }
            self.origins.wait(item);
        }
        None
    }
}

#[cfg(test)]
mod tests;
