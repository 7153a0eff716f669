//! How fast one origin is sent to: as fast as the run goes until the origin refuses, and then at the rate
//! that the origin was seen to accept, a little more every second. In an adaptive run `search` finds the
//! highest rate instead, from the first request on, and handles refusals.
//!
//! ```text
//!          refused                       refused again, of what was sent a second later
//! free ──────────────▶ slowed: 0.9 × held ──▶ … ──▶ 0.9 × held
//!   ▲                      │ quickly up to nine tenths of the ceiling, slowly to it and beyond
//!   └── the run's rate ────┘
//! ```
//!
//! *Held* is the number of requests that the origin accepted in the last second; or the average since it was
//! last slowed, if that is less than half as much: the limit is then one of a longer window. After a 429 this
//! becomes the ceiling, which is remembered. A 503 says nothing about a limit, so the ceiling is the rate
//! before it. If responses say how many requests are left (`RateLimit`), those are spread evenly over their
//! window instead.

use std::time::Duration;

use super::hints::{Hints, Refusal};
use super::meter::Meter;
use super::search::{Search, Verdict};

/// Rate after a refusal, as a share of what the origin held.
const BACK: f64 = 0.9;
/// Lowest rate after a refusal, as a share of what was sent: little may have been held by chance.
const LEAST: f64 = 1.0 / 8.0;
/// Increase a second below nine tenths of the ceiling, as a share of the ceiling.
const RETURN: f64 = 0.05;
/// Increase a second from there to the ceiling, as a share of the ceiling.
const APPROACH: f64 = 0.005;
/// Increase a second above the ceiling, as a share of the rate. The steps grow, because a limit that was
/// raised may have been raised far.
const PROBE: f64 = 0.01;
/// Lowest rate for an origin that names no time to wait, in requests a second.
const SLOWEST: f64 = 1.0;
/// Refusals of requests sent this soon after the origin was slowed say nothing new: an origin that counts
/// the requests of a second still counts those of the second before.
const SETTLES: Duration = Duration::from_secs(1);
/// An average below this share of the last second means that the limit is for a longer window.
const LONG: f64 = 0.5;
/// Lateness of a send that does not delay the sends after it.
const CATCH_UP: Duration = Duration::from_millis(20);

/// Pace of one origin. Times are since the run's start.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Rate that the configuration allows, per second.
    configured: Option<f64>,
    slowed: Option<Slowed>,
    search: Option<Box<Search>>,
    /// Nothing is sent before this time.
    next: Duration,
    /// End of the time to wait that the origin named: no rate shortens that.
    until: Duration,
    /// Slot that was used last.
    slot: Duration,
    /// Time at which the first request was sent.
    begun: Option<Duration>,
    sent: Meter,
    accepted: Meter,
}

/// State of an origin that is slowed.
#[derive(Clone, Copy, Debug)]
struct Slowed {
    /// Rate per second.
    rate: f64,
    /// Rate that the origin is believed to bear.
    ceiling: f64,
    /// Rate at which the origin first refused; once it is reached, the origin is free.
    free_at: f64,
    /// Time at which the origin was last slowed.
    since: Duration,
    /// Requests accepted since then.
    accepted: u32,
    /// Time at which the rate was last raised.
    raised: Duration,
    /// The rate follows from the number of requests that responses say are left.
    told: bool,
}

impl Pace {
    /// A pace that never exceeds `configured` requests a second. With `adaptive` the highest rate below it is
    /// searched for.
    pub(crate) fn new(configured: Option<f64>, adaptive: bool) -> Self {
        Self {
            configured,
            slowed: None,
            search: adaptive.then(|| Box::new(Search::new())),
            next: Duration::ZERO,
            until: Duration::ZERO,
            slot: Duration::ZERO,
            begun: None,
            sent: Meter::default(),
            accepted: Meter::default(),
        }
    }

    /// Time at which the next request may be sent; zero if at once.
    pub(crate) fn next_at(&self) -> Duration {
        match &self.search {
            Some(search) => self.next.max(search.paused_until()),
            None => self.next,
        }
    }

    /// Returns true if the origin is sent to as fast as the run goes, or as the search allows.
    pub(crate) fn is_calm(&self, now: Duration) -> bool {
        self.slowed.is_none() && (self.search.is_some() || self.next <= now)
    }

    /// Search for the highest rate of the origin.
    pub(crate) fn search(&self) -> Option<&Search> {
        self.search.as_deref()
    }

    /// Rate that the origin is slowed to, if it is.
    pub(crate) fn slowed_to(&self) -> Option<f64> {
        self.slowed.map(|slowed| slowed.rate)
    }

    /// Lowest of all rates that apply now, per second.
    fn rate(&self) -> Option<f64> {
        let searched = self.search.as_ref().map(|search| search.rate());
        let rates = [self.slowed_to(), self.configured, searched];
        rates.into_iter().flatten().reduce(f64::min)
    }

    /// A request is sent.
    pub(crate) fn handle_sent(&mut self, now: Duration) {
        self.sent.add(now);
        self.begun.get_or_insert(now);
        if let Some(rate) = self.rate() {
            let interval = interval(rate);
            let next = self.next_at();
            self.slot = next.max(now.saturating_sub(CATCH_UP));
            let unused = self.slot - next;
            self.next = self.slot.saturating_add(interval);
            if let Some(search) = &mut self.search {
                let another = rate < search.rate();
                search.handle_sent(now, if another { interval } else { unused });
            }
        }
    }

    /// An attempt that was sent at `sent` has ended. Matters only to a search.
    pub(crate) fn handle_verdict(
        &mut self,
        now: Duration,
        sent: Duration,
        verdict: Verdict,
        most: Option<f64>,
    ) {
        let most = most.unwrap_or(f64::MAX);
        if let Some(search) = &mut self.search {
            search.handle_verdict(now, sent, verdict, most);
        }
    }

    /// A response came to a request that was sent at `sent`; `others` are still in flight. `most` is the rate
    /// of the run, if it is limited.
    pub(crate) fn handle_response(
        &mut self,
        now: Duration,
        sent: Duration,
        hints: &Hints,
        others: usize,
        most: Option<f64>,
    ) {
        match hints.refused {
            Some(_) if self.search.is_some() => {}
            Some(refused) => self.refused(now, sent, refused),
            None => self.accepted(now),
        }
        if let Some((left, time)) = hints.left {
            // An origin that says to send nothing for a day is tried after the cap, as after Retry-After.
            let left = left.saturating_sub(others as u64).max(1) as f64;
            let slowest = 1.0 / hints.cap.as_secs_f64();
            self.spread(now, (left / time.as_secs_f64()).max(slowest), most);
        }
        if let Some(wait) = hints.wait {
            self.until = self.until.max(now + wait);
            self.next = self.next.max(self.until);
        }
        if let Some(slowed) = self.slowed
            && slowed.rate >= most.unwrap_or(slowed.free_at)
        {
            self.slowed = None;
        }
        if hints.left.is_some() {
            // The last slot was as long as there was little left: now there may be more.
            let slot = self.rate().map_or(Duration::ZERO, interval);
            let next = self.slot.saturating_add(slot).max(self.until);
            self.next = self.next.min(next);
        }
    }

    /// Requests that are sent a second, or would be.
    fn sending(&mut self, now: Duration) -> f64 {
        if let Some(slowed) = self.slowed {
            return slowed.rate;
        }
        if let Some(search) = &self.search {
            return search.rate();
        }
        let since = now.saturating_sub(self.begun.unwrap_or(now));
        let passed = since.as_secs_f64().clamp(0.01, 1.0);
        f64::from(self.sent.last_second(now)) / passed
    }

    fn refused(&mut self, now: Duration, sent: Duration, why: Refusal) {
        if self
            .slowed
            .is_some_and(|slowed| sent < slowed.since + SETTLES)
        {
            return;
        }
        let (rate, held) = (self.sending(now).max(SLOWEST), self.held(now));
        let ceiling = match why {
            Refusal::TooMany => held,
            Refusal::Unavailable => self.slowed.map_or(rate, |slowed| slowed.ceiling.max(rate)),
        };
        let slower = (held * BACK).clamp(rate * LEAST, rate * BACK).max(SLOWEST);
        self.slowed = Some(Slowed {
            rate: slower,
            ceiling: ceiling.max(slower),
            free_at: self.slowed.map_or(rate, |slowed| slowed.free_at),
            since: now,
            accepted: 0,
            raised: now,
            told: false,
        });
    }

    /// Requests that the origin accepts a second.
    fn held(&mut self, now: Duration) -> f64 {
        let second = f64::from(self.accepted.last_second(now));
        let Some(slowed) = self.slowed else {
            return second;
        };
        let passed = now.saturating_sub(slowed.since).as_secs_f64();
        let average = f64::from(slowed.accepted) / passed.max(1.0);
        match average < second * LONG {
            true => average,
            false => second,
        }
    }

    fn accepted(&mut self, now: Duration) {
        self.accepted.add(now);
        let Some(slowed) = &mut self.slowed else {
            return;
        };
        slowed.accepted += 1;
        // Only time in which something was accepted counts, a second at most.
        let passed = now.saturating_sub(slowed.raised).as_secs_f64().min(1.0);
        slowed.raised = slowed.raised.max(now);
        if slowed.told {
            return;
        }
        let step = if slowed.rate < slowed.ceiling * BACK {
            slowed.ceiling * RETURN
        } else if slowed.rate < slowed.ceiling {
            slowed.ceiling * APPROACH
        } else {
            slowed.rate * PROBE
        };
        slowed.rate += step * passed;
    }

    /// Spreads the requests that are left: `allowed` may be sent a second.
    fn spread(&mut self, now: Duration, allowed: f64, most: Option<f64>) {
        let sending = self.sending(now).max(most.unwrap_or(0.0));
        let was_told = self.slowed.is_some_and(|slowed| slowed.told);
        if allowed >= sending && !was_told {
            return;
        }
        let before = self.slowed;
        self.slowed = Some(Slowed {
            rate: allowed,
            ceiling: allowed,
            free_at: before.map_or(sending, |slowed| slowed.free_at),
            since: before.map_or(now, |slowed| slowed.since),
            accepted: before.map_or(0, |slowed| slowed.accepted),
            raised: now,
            told: true,
        });
    }
}

/// Time between requests at a rate per second.
fn interval(rate: f64) -> Duration {
    Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX)
}

#[cfg(test)]
#[path = "simulation.rs"]
mod simulation;
