//! The highest rate that an origin bears, searched for (`--adaptive`): additive increase,
//! multiplicative decrease.
//!
//! ```text
//!              trouble                          calm
//! doubling ───────────▶ 0.9 × held ──▶ back to nine tenths of the ceiling, slowly to it, beyond it with
//!    ▲                      ▲            growing steps ──┐
//!    │ nothing is borne     └─────────── trouble ────────┘
//!    └── any more ── one a second
//! ```
//!
//! Trouble is a refusal (429, 503), or a sign that the origin is at its limit: see `signs`. *Held* is what
//! it answered in the last second, so of an origin with a queue it is what it can do, however much it was
//! sent. That is the ceiling then.
//!
//! The rate rises only for what came of it: only while answers come, and only while the rate is what holds
//! the run back. Else it would be no more than a wish.

use std::time::Duration;

use super::hints::Refused;
use super::meter::Meter;
use super::signs::{Sign, Signs};

/// What an unknown origin is sent a second, until enough has come back to know how long that takes.
const START: f64 = 10.0;
/// Beyond that it is sent no more than so many times what it answers.
const AHEAD: f64 = 2.0;
/// It is sent twice as much after so long, and two round trips, in which nothing is known of it yet.
const DOUBLES: Duration = Duration::from_millis(500);
/// After trouble: this much of what it held.
const BACK: f64 = 0.9;
/// But not less than this much of what was sent, as little may have been held by chance.
const LEAST: f64 = 0.25;
/// A ceiling does not sink lower than to this much of the last one.
const SINKS: f64 = 0.5;
/// A second, below nine tenths of the ceiling: this much of the ceiling more.
const RETURN: f64 = 0.05;
/// A second, below the ceiling: this much of it.
const APPROACH: f64 = 0.01;
/// A second, above it: this much of the rate, and as much again for each [`FASTER`] spent there. Whoever
/// lifted a limit may have lifted it far.
const PROBE: f64 = 0.01;
const FASTER: f64 = 2.0;
/// The slowest that an origin is sent to, per second.
const SLOWEST: f64 = 1.0;
/// Trouble with what was sent this soon after a fall is nothing new: an origin that looks at a second has
/// yet to forget the one before.
const SETTLES: Duration = Duration::from_secs(1);
/// How often the rate rises, at most.
const TICK: Duration = Duration::from_millis(50);
/// It does only if this much of it was used since.
const USED: f64 = 0.8;
/// The longest that an origin is left alone to work off its queue, after each fall.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// If that does not help, it is sent nothing until so much of what is under way is left, or none of it ends for
/// so long.
const EMPTY: f64 = 1.0 / 32.0;
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was answered, after so long.
    Answered(Duration),
    /// It was refused.
    Refused(Refused),
    /// Its connection failed, or nothing came in time.
    Failed,
    /// In a way that says nothing of what its origin bears.
    Otherwise,
}

/// One origin's search. Times are since the run's start.
#[derive(Debug)]
pub(crate) struct Search {
    /// Per second.
    rate: f64,
    /// What it held when it was last in trouble; none: not found yet, and the rate doubles.
    ceiling: Option<f64>,
    /// For how long it has been above the ceiling.
    above: Duration,
    /// It has answered since it fell last.
    answered: bool,
    /// Trouble with what was sent before is of a higher rate.
    settled: Duration,
    meter: Meter,
    signs: Signs,
    raised: Duration,
    /// For how long the rate has held nothing back since.
    unused: Duration,
    /// Nothing is sent before.
    holds: Duration,
    /// Under way, and as many as are to be left before more is sent.
    flying: u32,
    emptying: Option<u32>,
    /// Requests in all.
    pub(crate) requests: u64,
    /// Times that it was in trouble.
    pub(crate) troubles: u64,
}

impl Search {
    pub(super) fn new() -> Self {
        Self {
            rate: START,
            ceiling: None,
            above: Duration::ZERO,
            answered: true,
            settled: Duration::ZERO,
            meter: Meter::default(),
            signs: Signs::new(),
            raised: Duration::ZERO,
            unused: Duration::ZERO,
            holds: Duration::ZERO,
            flying: 0,
            emptying: None,
            requests: 0,
            troubles: 0,
        }
    }

    /// What it may be sent a second.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// What it bears a second, as far as is known.
    pub(crate) fn found(&self) -> f64 {
        self.ceiling.unwrap_or(0.0).max(self.rate)
    }

    /// Nothing is to be sent before.
    pub(super) fn holds(&self) -> Duration {
        self.holds
    }

    /// A request is sent, before which something else than this rate has held the run back for so long.
    pub(super) fn sent(&mut self, now: Duration, unused: Duration) {
        self.requests += 1;
        self.flying += 1;
        self.unused += unused;
        // In vain: what is under way may take for ever.
        if self.emptying.is_some() {
            self.emptied(now);
        }
    }

    /// What was sent at `sent` has ended. `most` is what may be sent a second for other reasons.
    pub(super) fn ended(&mut self, now: Duration, sent: Duration, ended: Ended, most: f64) {
        self.flying = self.flying.saturating_sub(1);
        let latency = match ended {
            Ended::Answered(latency) => {
                self.answered = true;
                self.meter.add(now);
                Some(latency)
            }
            Ended::Refused(_) | Ended::Failed => None,
            Ended::Otherwise => return,
        };
        if let Some(left) = self.emptying {
            match self.flying <= left {
                true => self.emptied(now),
                false => self.holds = now + PATIENCE,
            }
            return;
        }
        // A queue that is still there shows in what was sent before; all else is as it was then.
        let settled = match latency {
            Some(_) => now >= self.settled,
            None => sent >= self.settled,
        };
        if !settled {
            return;
        }
        if let Ended::Refused(why) = ended {
            self.fall(now, Duration::ZERO, why == Refused::TooMany);
            return;
        }
        match self.signs.ended(now, latency) {
            Some(Sign::Slow(by)) => {
                // About what waits there: what came last in the interval waits longest.
                self.fall(now, (by * 2).min(LONGEST_PAUSE), true);
            }
            Some(Sign::Stuck) => {
                self.emptying = Some((f64::from(self.flying) * EMPTY) as u32);
                self.holds = now + PATIENCE;
            }
            Some(Sign::Fails) => self.fall(now, Duration::ZERO, true),
            Some(Sign::Well) | None if latency.is_some() => self.rise(now, most),
            Some(Sign::Well) | None => {}
        }
    }

    /// Whoever answers now has nothing else to do: so long it takes.
    fn emptied(&mut self, now: Duration) {
        self.emptying = None;
        (self.holds, self.settled, self.raised) = (now, now, now);
        self.signs.forget_latency(now);
    }

    /// `limit`: what it held is what it bears. A 503 may have other reasons.
    fn fall(&mut self, now: Duration, pause: Duration, limit: bool) {
        let held = f64::from(self.meter.last_second(now));
        let before = self.ceiling.unwrap_or(0.0) * SINKS;
        let slower = (held * BACK).clamp(self.rate * LEAST, self.rate * BACK);
        let ceiling = match limit {
            true => held.max(before),
            false => before.max(self.rate),
        };
        // Nothing was borne any more, so nothing is known of what will be.
        self.ceiling = self.answered.then_some(ceiling.max(slower));
        self.rate = slower.max(SLOWEST);
        self.troubles += 1;
        (self.answered, self.above) = (false, Duration::ZERO);
        self.holds = now + pause;
        self.settled = self.holds + SETTLES;
        (self.raised, self.unused) = (self.settled, Duration::ZERO);
        self.signs.restart(self.settled);
    }

    fn rise(&mut self, now: Duration, most: f64) {
        let passed = now.saturating_sub(self.raised);
        if passed < TICK {
            return;
        }
        let unused = std::mem::take(&mut self.unused);
        self.raised = now;
        if unused > passed.mul_f64(1.0 - USED) {
            return;
        }
        // Of a time without answers, a second at most counts.
        let passed = passed.min(Duration::from_secs(1));
        let seconds = passed.as_secs_f64();
        let Some(latency) = self.signs.usual_latency() else {
            return;
        };
        let step = match self.ceiling {
            None => {
                let doubles = DOUBLES + 2 * latency;
                self.rate * ((seconds / doubles.as_secs_f64()).exp2() - 1.0)
            }
            Some(ceiling) if self.rate < ceiling * BACK => ceiling * RETURN * seconds,
            Some(ceiling) if self.rate < ceiling => ceiling * APPROACH * seconds,
            Some(_) => {
                self.above += passed;
                let faster = 1.0 + self.above.as_secs_f64() / FASTER;
                self.rate * (PROBE * faster).min(1.0) * seconds
            }
        };
        let answered = f64::from(self.meter.last_second(now));
        let most = most.min(START + AHEAD * answered);
        self.rate = (self.rate + step).min(most.max(self.rate));
    }
}

#[cfg(test)]
#[path = "search_simulation.rs"]
mod simulation;
