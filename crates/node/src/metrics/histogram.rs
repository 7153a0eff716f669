//! A histogram of durations made of atomics: observing takes no lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds in seconds; a last bucket holds whatever is longer.
const BOUNDS: [f64; 19] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0, 600.0, 900.0,
];

/// Counts per bucket and the sum of all. A reader may see one without the other for a moment.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// A histogram at one moment: what each bucket holds by itself, as the encoder wants it.
pub(super) struct Reading {
    pub(super) sum: f64,
    pub(super) count: u64,
    pub(super) buckets: Vec<(f64, u64)>,
}

impl Histogram {
    pub(super) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
    }

    pub(super) fn read(&self) -> Reading {
        let bounds = BOUNDS.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds
            .zip(&self.buckets)
            .map(|(bound, bucket)| (bound, bucket.load(Relaxed)))
            .collect();
        Reading {
            sum: Duration::from_micros(self.micros.load(Relaxed)).as_secs_f64(),
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_falls_into_the_bucket_that_bounds_it() {
        let histogram = Histogram::default();
        for millis in [1, 2, 1_000, 1_001, 10_000_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let reading = histogram.read();
        let filled: Vec<_> = reading.buckets.iter().filter(|(_, n)| *n > 0).collect();
        let expected = [
            (0.001, 1),
            (0.0025, 1),
            (1.0, 1),
            (2.5, 1),
            (f64::INFINITY, 1),
        ];
        assert_eq!(filled, expected.iter().collect::<Vec<_>>());
        assert_eq!(reading.count, 5);
        assert!((reading.sum - 10_002.004).abs() < 1e-6);
    }
}
