//! The rate that was held: dispatches over time, and in the fullest and emptiest second.

use std::collections::VecDeque;

use super::series::Series;

/// Microseconds of the window that slides.
const WINDOW: u64 = 1_000_000;

/// Counts dispatches. Keeps those of the last second: 16 bytes for each microsecond of it that has
/// any.
#[derive(Clone, Debug)]
pub struct Pace {
    pub(super) series: Series<u64>,
    /// Of the last second: when, and how many then.
    recent: VecDeque<(u64, u32)>,
    in_window: u64,
    pub(super) count: u64,
    pub(super) first: Option<u64>,
    pub(super) last: u64,
    pub(super) fullest: u64,
    pub(super) emptiest: Option<u64>,
}

impl Pace {
    /// Of a run that starts at this moment, in microseconds since the Unix epoch.
    #[must_use]
    pub fn new(start: u64) -> Self {
        Self {
            series: Series::new(start),
            recent: VecDeque::new(),
            in_window: 0,
            count: 0,
            first: None,
            last: 0,
            fullest: 0,
            emptiest: None,
        }
    }

    /// A request was sent, at this moment, in microseconds since the Unix epoch. To be called about
    /// in the order of time: what comes late counts in the second that is still open, and not in
    /// others.
    ///
    /// A `retry` does not count as one that there was work for: the emptiest second is one between
    /// first tries, or every run would end with an empty one.
    pub fn dispatched(&mut self, at: u64, retry: bool) {
        self.count += 1;
        *self.series.at(at) += 1;
        let first = *self.first.get_or_insert(at);
        let at = at.max(self.last);
        self.last = at;
        // The second that ends just before this one.
        self.forget(|moment| moment + WINDOW < at);
        if !retry && at - first >= WINDOW {
            let least = self.emptiest.unwrap_or(u64::MAX);
            self.emptiest = Some(least.min(self.in_window));
        }
        // The second that ends with this one.
        self.forget(|moment| moment + WINDOW <= at);
        match self.recent.back_mut() {
            Some((moment, count)) if *moment == at => *count += 1,
            Some(_) | None => self.recent.push_back((at, 1)),
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

    /// Dispatches a second, from the first to the last.
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

    fn of(moments: &[u64]) -> Pace {
        let mut pace = Pace::new(0);
        for at in moments {
            pace.dispatched(*at, false);
        }
        pace
    }

    /// What a window can hold changes only where one of its ends passes a dispatch.
    fn by_hand(moments: &[u64]) -> (u64, Option<u64>) {
        let (first, last) = (moments[0], *moments.last().unwrap());
        let begins = moments
            .iter()
            .flat_map(|at| [*at, at + 1, at.saturating_sub(WINDOW)]);
        let count = |begin: u64| {
            let inside = |at: &&u64| (begin..begin + WINDOW).contains(*at);
            moments.iter().filter(inside).count() as u64
        };
        let begins: Vec<u64> = begins.collect();
        let full = begins.iter().map(|begin| count(*begin)).max().unwrap();
        let within = begins
            .iter()
            .filter(|begin| **begin >= first && **begin + WINDOW <= last);
        (full, within.map(|begin| count(*begin)).min())
    }

    #[test]
    fn the_worst_seconds_are_found_wherever_they_begin() {
        for seed in 0..50 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut at = 0;
            let moments: Vec<u64> = (0..random.random_range(1..200))
                .map(|_| {
                    at += random.random_range(0..60_000) * random.random_range(0..3);
                    at
                })
                .collect();
            let pace = of(&moments);
            assert_eq!(
                (pace.fullest, pace.emptiest),
                by_hand(&moments),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn an_even_pace_has_its_rate_as_mean() {
        let moments: Vec<u64> = (0..5_000).map(|k| k * 1_000).collect();
        let pace = of(&moments);
        assert!((pace.mean().unwrap() - 1_000.0).abs() < 1e-6);
        assert_eq!((pace.fullest, pace.emptiest), (1_000, Some(1_000)));
        assert_eq!(of(&[]).mean(), None);
        assert_eq!(of(&[5]).mean(), None);
    }

    #[test]
    fn retries_after_the_end_leave_no_empty_second() {
        let mut pace = of(&[0, 400_000, 800_000, 1_200_000]);
        pace.dispatched(9_000_000, true);
        assert_eq!(pace.emptiest, Some(2));
        pace.dispatched(9_000_001, false);
        assert_eq!(pace.emptiest, Some(1));
    }
}
