//! How fast one origin is sent to: as fast as the run goes until the origin refuses, and then at what
//! it was seen to bear, a little more every second. Or, where that is asked for, at the highest rate that
//! it bears: `search` finds it, from the first request on, and refusals are its to heed.
//!
//! ```text
//!          refused                       refused again, of what was sent a second later
//! free ──────────────▶ slowed: 0.9 × held ──▶ … ──▶ 0.9 × held
//!   ▲                      │ quickly up to nine tenths of the ceiling, slowly to it and beyond
//!   └── the run's rate ────┘
//! ```
//!
//! *Held* is what the origin accepted in the last second; or since it was last slowed, if that is less
//! than half of it: then the limit is one of a longer time. After a 429 that is the ceiling, which is
//! remembered; a 503 says nothing of a limit, so the ceiling is the rate that there was. Where answers
//! say what is left (`RateLimit`), that is spread evenly over the time that it is for instead.

use std::time::Duration;

use super::hints::{Hints, Refused};
use super::meter::Meter;
use super::search::{Ended, Search};

/// After a refusal: this much of what the origin held.
const BACK: f64 = 0.9;
/// But not less than this much of what was sent, as little may have been held by chance.
const LEAST: f64 = 1.0 / 8.0;
/// A second, below nine tenths of the ceiling: this much of the ceiling more.
const RETURN: f64 = 0.05;
/// A second, below the ceiling: this much of it.
const APPROACH: f64 = 0.005;
/// A second, above it: this much of the rate. Steps grow, as whoever lifted a limit may have lifted it
/// far.
const PROBE: f64 = 0.01;
/// The slowest that an origin is sent to when it gives no time to wait, per second.
const SLOWEST: f64 = 1.0;
/// Refusals of what was sent this soon after it was slowed say nothing new: an origin that looks at a
/// second has yet to forget the one before.
const SETTLES: Duration = Duration::from_secs(1);
/// Less than this much of the last second, on average: the limit is not one of a second.
const LONG: f64 = 0.5;
/// How late a send may be without delaying those after it.
const CATCH_UP: Duration = Duration::from_millis(20);

/// One origin's pace. Times are since the run's start.
#[derive(Debug)]
pub(crate) struct Pace {
    /// What the configuration allows, per second.
    configured: Option<f64>,
    slowed: Option<Slowed>,
    search: Option<Box<Search>>,
    /// Nothing is sent before.
    next: Duration,
    /// The part of it that a time to wait is: no rate shortens that.
    until: Duration,
    /// The slot that was used last.
    slot: Duration,
    /// When the first was sent.
    begun: Option<Duration>,
    sent: Meter,
    accepted: Meter,
}

#[derive(Clone, Copy, Debug)]
struct Slowed {
    /// Per second.
    rate: f64,
    /// What the origin is believed to bear.
    ceiling: f64,
    /// What was sent when it was first refused: reached again, it is free.
    free_at: f64,
    /// When it was last slowed.
    since: Duration,
    /// Accepted since.
    accepted: u32,
    raised: Duration,
    /// The rate follows from what answers say is left.
    told: bool,
}

impl Pace {
    /// `configured`: the most that may be sent a second, whatever the origin says. `adaptive`: the
    /// highest rate below is searched for.
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

    /// When the next request may be sent; zero if at once.
    pub(crate) fn next_at(&self) -> Duration {
        match &self.search {
            Some(search) => self.next.max(search.holds()),
            None => self.next,
        }
    }

    /// Whether it is sent to as fast as the run goes, or as is searched for.
    pub(crate) fn is_calm(&self, now: Duration) -> bool {
        self.slowed.is_none() && (self.search.is_some() || self.next <= now)
    }

    /// The search for its highest rate.
    pub(crate) fn search(&self) -> Option<&Search> {
        self.search.as_deref()
    }

    /// The rate it is slowed to, if it is.
    pub(crate) fn slowed_to(&self) -> Option<f64> {
        self.slowed.map(|slowed| slowed.rate)
    }

    /// The lowest of all rates that hold now, per second.
    fn rate(&self) -> Option<f64> {
        let searched = self.search.as_ref().map(|search| search.rate());
        let rates = [self.slowed_to(), self.configured, searched];
        rates.into_iter().flatten().reduce(f64::min)
    }

    /// A request is sent.
    pub(crate) fn sent(&mut self, now: Duration) {
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
                search.sent(now, if another { interval } else { unused });
            }
        }
    }

    /// What was sent at `sent` has ended. Matters only to a search.
    pub(crate) fn ended(&mut self, now: Duration, sent: Duration, ended: Ended, most: Option<f64>) {
        let most = most.unwrap_or(f64::MAX);
        if let Some(search) = &mut self.search {
            search.ended(now, sent, ended, most);
        }
    }

    /// A response to what was sent at `sent` came; `others` are still under way. `most` is what the run
    /// sends a second, where that is limited.
    pub(crate) fn answered(
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
            // One that is told to send nothing for a day is asked again after the cap, as after Retry-After.
            let left = left.saturating_sub(others as u64).max(1) as f64;
            let slowest = 1.0 / hints.cap.as_secs_f64();
            self.told(now, (left / time.as_secs_f64()).max(slowest), most);
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

    /// What is sent a second, or would be.
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

    fn refused(&mut self, now: Duration, sent: Duration, why: Refused) {
        if self
            .slowed
            .is_some_and(|slowed| sent < slowed.since + SETTLES)
        {
            return;
        }
        let (rate, held) = (self.sending(now).max(SLOWEST), self.held(now));
        let ceiling = match why {
            Refused::TooMany => held,
            Refused::Unavailable => self.slowed.map_or(rate, |slowed| slowed.ceiling.max(rate)),
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

    /// What the origin accepts a second.
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

    /// So many may be sent a second.
    fn told(&mut self, now: Duration, allowed: f64, most: Option<f64>) {
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

/// Between requests, at a rate per second.
fn interval(rate: f64) -> Duration {
    Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX)
}

#[cfg(test)]
#[path = "simulation.rs"]
mod simulation;
