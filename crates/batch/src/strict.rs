//! No window of the given length holds more than so many requests, wherever it begins: a log of the
//! last ones, looked at when a request is about to be handed to its connection.
//!
//! The schedule alone cannot promise that: a request that is late comes nearer to those after it. So
//! each may go only when the one `count` before it is a window ago. Lateness would then never be made
//! up for, and the rate sink with every window; hence [`SLACK`], by which the schedule is slower.

use std::collections::VecDeque;
use std::time::Duration;

use fetchway_policy::Rate;

/// Added to the window for the schedule: a request may be late by as much without holding up another.
/// A timer of 1 ms and a busy machine take 3 to 4.
pub(crate) const SLACK: Duration = Duration::from_millis(5);

/// So that the promise holds in whole microseconds too, and for windows that include both ends.
const GRAIN: Duration = Duration::from_micros(2);

/// The most requests that a strict window may have: each takes 16 bytes.
pub const MAX_STRICT: u32 = 1_000_000;

/// The last requests. Times are since the run's start.
#[derive(Debug)]
pub(crate) struct Strict {
    rate: Rate,
    /// At most `rate.count`, oldest first.
    log: VecDeque<Duration>,
    /// Requests told to wait that have not passed yet.
    waiting: usize,
}

impl Strict {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            log: VecDeque::new(),
            waiting: 0,
        }
    }

    /// The rate that the schedule is to hold.
    pub(crate) fn schedule(rate: Rate) -> Rate {
        Rate {
            window: rate.window + SLACK,
            ..rate
        }
    }

    /// Passes and is logged, or is to ask again at the time given. `waits`: it was told so before.
    pub(crate) fn ask(&mut self, now: Duration, waits: &mut bool) -> Option<Duration> {
        let full = self.log.len() >= self.rate.count as usize;
        let free_at = |oldest: Duration| oldest + self.rate.window + GRAIN;
        if full && self.log.front().is_some_and(|at| free_at(*at) > now) {
            // Those who wait already come first: this one's turn is when so many have left the window.
            let before = if *waits { 0 } else { self.waiting };
            self.waiting += usize::from(!*waits);
            *waits = true;
            let before = before.min(self.log.len() - 1);
            return Some(free_at(self.log[before]));
        }
        self.leave(waits);
        if full {
            self.log.pop_front();
        }
        self.log.push_back(now);
        None
    }

    /// One that was told to wait will not ask again.
    pub(crate) fn leave(&mut self, waits: &mut bool) {
        self.waiting -= usize::from(std::mem::take(waits));
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    /// Requests as late as they like: `waiting` ones ask again at the time they were given.
    #[test]
    #[expect(clippy::print_stdout, reason = "a failure is repeated from its seed")]
    fn no_window_holds_more_whatever_is_late() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let rate = Rate {
            count: 50,
            window: Duration::from_millis(100),
        };
        let mut strict = Strict::new(rate);
        let interval = Strict::schedule(rate).window / rate.count;
        let mut asking: Vec<(Duration, bool)> = (0..5_000_u32)
            .map(|k| {
                (
                    interval * k + Duration::from_micros(random.random_range(0..8_000)),
                    false,
                )
            })
            .collect();
        let mut passed = Vec::new();
        while let Some(first) = (0..asking.len()).min_by_key(|at| asking[*at].0) {
            let (now, waits) = &mut asking[first];
            match strict.ask(*now, waits) {
                None => passed.push(asking.swap_remove(first).0),
                Some(again) => {
                    assert!(again > *now);
                    *now = again + Duration::from_micros(random.random_range(0..1_500));
                }
            }
        }
        for pair in passed.windows(rate.count as usize + 1) {
            let micros = |at: Duration| at.as_micros();
            assert!(micros(pair[rate.count as usize]) - micros(pair[0]) > rate.window.as_micros());
        }
        let ideal = interval * 4_999;
        let last = *passed.last().expect("all have passed");
        assert!(
            last < ideal + Duration::from_millis(60),
            "{last:?} for {ideal:?}"
        );
        assert_eq!(strict.waiting, 0);
    }
}
