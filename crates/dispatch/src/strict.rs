//! A strict rate: no window of the given length holds more than a number of requests, wherever it begins.
//!
//! The schedule alone cannot promise that, because a request that is late comes nearer to those after it.
//! A log of the last `count` requests is checked when a request is about to be handed to its connection:
//! the request may go only when the one `count` before it is a window ago. Without slack, every lateness
//! would lower the rate of all later windows; hence [`SLACK`], by which the schedule is slower.

use std::collections::VecDeque;
use std::time::Duration;

use fetchway_policy::Rate;

/// Added to the window for the schedule, so that a request may be late by as much without delaying another.
/// A timer of 1 ms and a busy machine take 3 to 4 ms.
const SLACK: Duration = Duration::from_millis(5);

/// Keeps the promise in whole microseconds too, and for windows that include both ends.
const GRAIN: Duration = Duration::from_micros(2);

/// Most requests that a strict window may have: each takes 16 bytes.
pub const MAX_STRICT: u32 = 1_000_000;

/// Log of the last requests. Times are since the run's start.
#[derive(Debug)]
pub struct StrictWindow {
    rate: Rate,
    /// At most `rate.count` times, oldest first.
    log: VecDeque<Duration>,
    /// Requests that were told to wait and have not passed yet.
    waiting: usize,
}

impl StrictWindow {
    /// A window of `rate`, of at most [`MAX_STRICT`] requests.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            rate: Rate {
                count: rate.count.min(MAX_STRICT),
                ..rate
            },
            log: VecDeque::new(),
            waiting: 0,
        }
    }

    /// Rate that the schedule must hold so that requests rarely have to wait here.
    #[must_use]
    pub fn schedule_rate(&self) -> Rate {
        Rate {
            window: self.rate.window + SLACK,
            ..self.rate
        }
    }

    /// A request is about to be sent. Returns none if it may go, and logs it; otherwise the time at which to
    /// ask next. `waits` belongs to the request, false at first: it says whether it was told to wait.
    pub fn handle_request(&mut self, now: Duration, waits: &mut bool) -> Option<Duration> {
        let full = self.log.len() >= self.rate.count as usize;
        let free_at = |oldest: Duration| oldest + self.rate.window + GRAIN;
        if full && self.log.front().is_some_and(|at| free_at(*at) > now) {
            // Requests that wait already come first: this one's turn is when as many have left the window.
            let before = if *waits { 0 } else { self.waiting };
            self.waiting += usize::from(!*waits);
            *waits = true;
            let before = before.min(self.log.len() - 1);
            return Some(free_at(self.log[before]));
        }
        self.handle_abandoned(waits);
        if full {
            self.log.pop_front();
        }
        self.log.push_back(now);
        None
    }

    /// A request that was told to wait will not ask again.
    pub fn handle_abandoned(&mut self, waits: &mut bool) {
        self.waiting -= usize::from(std::mem::take(waits));
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    /// Requests are late at random; those that wait ask again at the time they were given.
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
        let mut strict = StrictWindow::new(rate);
        let interval = strict.schedule_rate().window / rate.count;
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
            match strict.handle_request(*now, waits) {
                None => passed.push(asking.swap_remove(first).0),
                Some(next) => {
                    assert!(next > *now);
                    *now = next + Duration::from_micros(random.random_range(0..1_500));
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
