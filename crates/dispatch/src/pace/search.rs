//! Searches for the highest rate that an origin bears (`--adaptive`): additive increase, multiplicative
//! decrease.
//!
//! ```text
//!              trouble                          calm
//! doubling ───────────▶ 0.9 × held ──▶ back to nine tenths of the ceiling, slowly to it, beyond it with
//!    ▲                      ▲            growing steps ──┐
//!    │ nothing is answered  └─────────── trouble ────────┘
//!    └── any more ── one a second
//! ```
//!
//! Trouble is a refusal (429, 503), or a sign that the origin is at its limit: see `signs`. *Held* is the
//! number of requests that the origin answered in the last second. For an origin with a queue that is its
//! capacity, however much it was sent. It becomes the ceiling.
//!
//! The rate rises only while answers come, and only while the rate itself is what holds the run back.
//! Otherwise the rate would say nothing about the origin.

use std::time::Duration;

use super::hints::Refusal;
use super::meter::Meter;
use super::signs::{Sign, Signs};

/// Requests a second that an unknown origin is sent, until its latency is known.
const START: f64 = 10.0;
/// Beyond that the rate stays below this multiple of the answers a second.
const AHEAD: f64 = 2.0;
/// The rate doubles in this time and two round trips, in which nothing is known about it yet.
const DOUBLES: Duration = Duration::from_millis(500);
/// Rate after trouble, as a share of what the origin held.
const BACK: f64 = 0.9;
/// Lowest rate after trouble, as a share of what was sent: little may have been held by chance.
const LEAST: f64 = 0.25;
/// Lowest ceiling after trouble, as a share of the last ceiling.
const SINKS: f64 = 0.5;
/// Increase a second below nine tenths of the ceiling, as a share of the ceiling.
const RETURN: f64 = 0.05;
/// Increase a second from there to the ceiling, as a share of the ceiling.
const APPROACH: f64 = 0.01;
/// Increase a second above the ceiling, as a share of the rate, and as much more for each [`FASTER`] seconds
/// spent there: a limit that was raised may have been raised far.
const PROBE: f64 = 0.01;
const FASTER: f64 = 2.0;
/// Lowest rate of all, per second.
const SLOWEST: f64 = 1.0;
/// Trouble with requests sent this soon after a fall is nothing new: an origin that counts the requests of a
/// second still counts those of the second before.
const SETTLES: Duration = Duration::from_secs(1);
/// Shortest time between two increases.
const TICK: Duration = Duration::from_millis(50);
/// Share of the rate that must have been used since the last increase.
const USED: f64 = 0.8;
/// Longest pause after a fall, in which the origin works off its queue.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// If pauses do not help, nothing is sent until this share of the requests in flight is left, or none of them
/// ends for [`PATIENCE`].
const EMPTY: f64 = 1.0 / 32.0;
const PATIENCE: Duration = Duration::from_secs(5);

/// Result of a request, as the search counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A response came, after this latency.
    Answered(Duration),
    /// The origin refused the request.
    Refused(Refusal),
    /// The connection failed, or nothing came in time.
    Failed,
    /// The request ended in a way that says nothing about what its origin bears.
    Unrelated,
}

/// Search of one origin. Times are since the run's start.
#[derive(Debug)]
pub(crate) struct Search {
    /// Rate per second.
    rate: f64,
    /// Requests a second that the origin held when it was last in trouble; none before the first trouble, while
    /// the rate doubles.
    ceiling: Option<f64>,
    /// Time for which the rate has been above the ceiling.
    above: Duration,
    /// The origin has answered since the last fall.
    answered: bool,
    /// Trouble with requests sent before this time belongs to an earlier, higher rate.
    settled: Duration,
    meter: Meter,
    signs: Signs,
    /// Time of the last increase.
    raised: Duration,
    /// Time since then in which the rate held nothing back.
    unused: Duration,
    /// Nothing is sent before this time.
    paused_until: Duration,
    /// Requests in flight, and the number to fall to before more is sent.
    in_flight: u32,
    emptying: Option<u32>,
    requests: u64,
    troubles: u64,
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
            paused_until: Duration::ZERO,
            in_flight: 0,
            emptying: None,
            requests: 0,
            troubles: 0,
        }
    }

    /// Requests that the origin may be sent a second.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// Requests that the origin bears a second, as far as is known.
    pub(crate) fn found(&self) -> f64 {
        self.ceiling.unwrap_or(0.0).max(self.rate)
    }

    /// Number of requests in all.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// Number of times that the origin was in trouble.
    pub(crate) fn troubles(&self) -> u64 {
        self.troubles
    }

    /// Nothing is to be sent before this time.
    pub(super) fn paused_until(&self) -> Duration {
        self.paused_until
    }

    /// A request is sent. Before it, something other than this rate held the run back for `unused`.
    pub(super) fn handle_sent(&mut self, now: Duration, unused: Duration) {
        self.requests += 1;
        self.in_flight += 1;
        self.unused += unused;
        // The pause was in vain: requests in flight may take for ever.
        if self.emptying.is_some() {
            self.emptied(now);
        }
    }

    /// A request that was sent at `sent` has ended. `most` is the rate allowed for other reasons.
    pub(super) fn handle_verdict(
        &mut self,
        now: Duration,
        sent: Duration,
        verdict: Verdict,
        most: f64,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let latency = match verdict {
            Verdict::Answered(latency) => {
                self.answered = true;
                self.meter.add(now);
                Some(latency)
            }
            Verdict::Refused(_) | Verdict::Failed => None,
            Verdict::Unrelated => return,
        };
        if let Some(left) = self.emptying {
            match self.in_flight <= left {
                true => self.emptied(now),
                false => self.paused_until = now + PATIENCE,
            }
            return;
        }
        // A queue that is still there shows in the latency of earlier requests; failures do not.
        let settled = match latency {
            Some(_) => now >= self.settled,
            None => sent >= self.settled,
        };
        if !settled {
            return;
        }
        if let Verdict::Refused(why) = verdict {
            self.fall(now, Duration::ZERO, why == Refusal::TooMany);
            return;
        }
        match self.signs.handle_end(now, latency) {
            Some(Sign::Slow(by)) => {
                // About the length of the queue: the last request of the interval waits longest.
                self.fall(now, (by * 2).min(LONGEST_PAUSE), true);
            }
            Some(Sign::Stuck) => {
                self.emptying = Some((f64::from(self.in_flight) * EMPTY) as u32);
                self.paused_until = now + PATIENCE;
            }
            Some(Sign::Fails) => self.fall(now, Duration::ZERO, true),
            Some(Sign::Well) | None if latency.is_some() => self.rise(now, most),
            Some(Sign::Well) | None => {}
        }
    }

    /// The origin has nothing else to do: its latency from now on is its own.
    fn emptied(&mut self, now: Duration) {
        self.emptying = None;
        (self.paused_until, self.settled, self.raised) = (now, now, now);
        self.signs.forget_latency(now);
    }

    /// Lowers the rate and pauses. With `limit`, the rate that the origin held is its limit; a 503 may have
    /// other reasons.
    fn fall(&mut self, now: Duration, pause: Duration, limit: bool) {
        let held = f64::from(self.meter.last_second(now));
        let before = self.ceiling.unwrap_or(0.0) * SINKS;
        let slower = (held * BACK).clamp(self.rate * LEAST, self.rate * BACK);
        let ceiling = match limit {
            true => held.max(before),
            false => before.max(self.rate),
        };
        // Nothing was answered any more, so nothing is known about the limit.
        self.ceiling = self.answered.then_some(ceiling.max(slower));
        self.rate = slower.max(SLOWEST);
        self.troubles += 1;
        (self.answered, self.above) = (false, Duration::ZERO);
        self.paused_until = now + pause;
        self.settled = self.paused_until + SETTLES;
        (self.raised, self.unused) = (self.settled, Duration::ZERO);
        self.signs.restart(self.settled);
    }

    /// Raises the rate, if it was used.
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
        // At most a second of a time without answers counts.
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
