//! Counts the events of the last second.

use std::time::Duration;

const BUCKETS: usize = 10;
const BUCKET: Duration = Duration::from_millis(100);

/// Count of the events of the last second, in ten buckets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    counts: [u32; BUCKETS],
    /// The number of the newest bucket since the run's start.
    newest: u64,
}

impl Meter {
    /// Counts one event at `now`.
    pub(crate) fn add(&mut self, now: Duration) {
        self.advance_to(now);
        self.counts[(self.newest % BUCKETS as u64) as usize] += 1;
    }

    /// Returns the number of events in the last second; the bucket of `now` is one of the ten.
    pub(crate) fn last_second(&mut self, now: Duration) -> u32 {
        self.advance_to(now);
        self.counts.iter().sum()
    }

    fn advance_to(&mut self, now: Duration) {
        let bucket = u64::try_from(now.as_nanos() / BUCKET.as_nanos()).unwrap_or(u64::MAX);
        let passed = bucket.saturating_sub(self.newest).min(BUCKETS as u64);
        for step in 1..=passed {
            self.counts[((self.newest + step) % BUCKETS as u64) as usize] = 0;
        }
        if passed == BUCKETS as u64 {
            self.counts = [0; BUCKETS];
        }
        self.newest = self.newest.max(bucket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_later_it_is_forgotten() {
        let mut meter = Meter::default();
        let t = Duration::from_millis;
        for ms in 0..2_000 {
            meter.add(t(ms));
        }
        assert_eq!(meter.last_second(t(1_999)), 1_000);
        assert_eq!(meter.last_second(t(2_450)), 500);
        assert_eq!(meter.last_second(t(3_000)), 0);
        meter.add(t(1_000_000));
        assert_eq!(meter.last_second(t(1_000_000)), 1);
    }
}
