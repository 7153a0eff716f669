//! Counts requests over time, and in the fullest and emptiest window of the rate.

use std::collections::VecDeque;
use std::time::Duration;

use fetchway_policy::Rate;

use super::series::Series;

/// Window of a run without a rate.
const SECOND: Duration = Duration::from_secs(1);

/// Most moments that are told apart in a window: a window above a second slides in this many steps.
const MOMENTS: u64 = 1_000_000;

/// Counter of requests. Keeps those of the last window: 16 bytes for each moment that has any, so at most
/// 16 MB.
#[derive(Clone, Debug)]
pub struct SendCounter {
    pub(super) series: Series<u64>,
    /// Length of the sliding window: that of the rate, or a second.
    pub(super) window: Duration,
    /// Length of a moment, in microseconds.
    grain: u64,
    /// Length of the window, in moments.
    length: u64,
    /// Moments of the last window, each with its requests.
    recent: VecDeque<(u64, u32)>,
    /// Requests in the window that ends with the last moment, and in the one that ends just before it.
    in_window: u64,
    before: u64,
    count: u64,
    pub(super) first: Option<u64>,
    pub(super) last: u64,
    pub(super) fullest: u64,
    pub(super) emptiest: Option<u64>,
}

impl SendCounter {
    /// Counter for a run with this rate that starts at `start`, in microseconds since the Unix epoch. The
    /// window is that of the rate.
    #[must_use]
    pub fn new(start: u64, rate: Option<Rate>) -> Self {
        let window = rate.map_or(SECOND, |rate| rate.window);
        let micros = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        let grain = micros.div_ceil(MOMENTS).max(1);
        Self {
            series: Series::new(start),
            window,
            grain,
            length: (micros / grain).max(1),
            recent: VecDeque::new(),
            in_window: 0,
            before: 0,
            count: 0,
            first: None,
            last: 0,
            fullest: 0,
            emptiest: None,
        }
    }

    /// Counts a request that was sent at `at`, in microseconds since the Unix epoch. Calls should be about in the
    /// order of time: a late one counts in the window that is still open, and in no other.
    ///
    /// A `repeated` request does not end an empty window: the emptiest window is one between first tries, or
    /// every run would end with an empty one.
    pub fn count_send(&mut self, at: u64, repeated: bool) {
        self.count += 1;
        *self.series.at(at) += 1;
        let first = *self.first.get_or_insert(at) / self.grain;
        self.last = at.max(self.last);
        let (at, length) = (self.last / self.grain, self.length);
        if self.recent.back().is_none_or(|(moment, _)| *moment != at) {
            self.forget(|moment| moment + length < at);
            self.before = self.in_window;
            self.forget(|moment| moment + length <= at);
            self.recent.push_back((at, 0));
        }
        if !repeated && at.saturating_sub(first) >= length {
            let least = self.emptiest.unwrap_or(u64::MAX);
            self.emptiest = Some(least.min(self.before));
        }
        if let Some((_, count)) = self.recent.back_mut() {
            *count += 1;
        }
        self.in_window += 1;
        self.fullest = self.fullest.max(self.in_window);
    }

    fn forget(&mut self, old: impl Fn(u64) -> bool) {
        while let Some(&(moment, count)) = self.recent.front()
            && old(moment)
        {
            self.in_window -= u64::from(count);
            self.recent.pop_front();
        }
    }

    /// Number of requests so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Requests a second, from the first to the last.
    pub(super) fn mean(&self) -> Option<f64> {
        let span = self.last - self.first?;
        (span > 0).then(|| (self.count - 1) as f64 * 1e6 / span as f64)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn of(moments: &[u64], window: u64) -> SendCounter {
        let rate = Rate {
            count: 1,
            window: Duration::from_micros(window),
        };
        let mut sends = SendCounter::new(0, Some(rate));
        for at in moments {
            sends.count_send(*at, false);
        }
        sends
    }

    /// Counts by brute force: the content of a window changes only where one of its ends passes a request.
    fn by_hand(moments: &[u64], window: u64) -> (u64, Option<u64>) {
        let (first, last) = (moments[0], *moments.last().unwrap());
        let begins = moments
            .iter()
            .flat_map(|at| [*at, at + 1, at.saturating_sub(window)]);
        let count = |begin: u64| {
            let inside = |at: &&u64| (begin..begin + window).contains(*at);
            moments.iter().filter(inside).count() as u64
        };
        let begins: Vec<u64> = begins.collect();
        let full = begins.iter().map(|begin| count(*begin)).max().unwrap();
        let within = begins
            .iter()
            .filter(|begin| **begin >= first && **begin + window <= last);
        (full, within.map(|begin| count(*begin)).min())
    }

    #[test]
    fn the_worst_windows_are_found_wherever_they_begin() {
        for seed in 0..50 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut at = 0;
            let moments: Vec<u64> = (0..random.random_range(1..200))
                .map(|_| {
                    at += random.random_range(0..60_000) * random.random_range(0..3);
                    at
                })
                .collect();
            for window in [1, 250_000, 1_000_000] {
                let sends = of(&moments, window);
                assert_eq!(
                    (sends.fullest, sends.emptiest),
                    by_hand(&moments, window),
                    "seed {seed}, {window} µs"
                );
            }
            // Looked at in steps of 15 µs, and then at what is so far apart.
            let apart: Vec<u64> = moments.iter().map(|at| at * 15).collect();
            let sends = of(&apart, 15_000_000);
            let found = (sends.fullest, sends.emptiest);
            assert_eq!(found, by_hand(&apart, 15_000_000), "seed {seed}");
        }
    }

    #[test]
    fn an_even_pace_has_its_rate_as_mean() {
        let moments: Vec<u64> = (0..5_000).map(|k| k * 1_000).collect();
        let sends = of(&moments, 1_000_000);
        assert!((sends.mean().unwrap() - 1_000.0).abs() < 1e-6);
        assert_eq!((sends.fullest, sends.emptiest), (1_000, Some(1_000)));
        assert_eq!(of(&[], 1).mean(), None);
        assert_eq!(of(&[5], 1).mean(), None);
    }

    #[test]
    fn a_long_window_is_bounded() {
        let mut sends = of(&[], 86_400_000_000);
        for k in 0..3 * MOMENTS {
            sends.count_send(k * 60_000, false);
        }
        assert!(sends.recent.len() as u64 <= MOMENTS);
        assert_eq!(
            (sends.fullest, sends.emptiest),
            (1_440_000, Some(1_440_000))
        );
    }

    #[test]
    fn retries_after_the_end_leave_no_empty_window() {
        let mut sends = of(&[0, 400_000, 800_000, 1_200_000], 1_000_000);
        sends.count_send(9_000_000, true);
        assert_eq!(sends.emptiest, Some(2));
        sends.count_send(9_000_001, false);
        assert_eq!(sends.emptiest, Some(1));
    }
}
