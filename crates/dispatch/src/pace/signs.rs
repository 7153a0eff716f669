//! Signs of an origin that is overloaded and does not say so: responses that take clearly longer than
//! before, and connections that fail.
//!
//! Each sign is measured over an interval and compared with the usual level of this origin, so that an
//! origin that was always slow or always failed some requests is not slowed for it. A fall of the rate is
//! the test: trouble that the rate caused gets better then. If it does not get better six times in a row,
//! that level of failures counts as usual. For latencies this is not certain, because a long queue takes
//! long to be worked off: they are stuck, and the usual latency is measured anew when nothing is in flight.

use std::time::Duration;

/// Shortest interval.
const INTERVAL: Duration = Duration::from_millis(250);
/// Fewest responses and failures of an interval: of fewer, a share and a median are chance.
const LEAST: u32 = 10;
/// Of fewer ends, a share of failures is chance and is counted with the next interval, unless it is at least
/// [`CLEAR`].
const MANY: u32 = 100;
const CLEAR: f64 = 0.25;
/// Fewer failures than this are never trouble.
const FEW: u32 = 4;
/// Failures have stopped if this many more were to be expected since the last one.
const STOPPED: f64 = 3.0;
/// A level is trouble above this multiple of the usual one and one of the floors below.
const GROWN: f64 = 2.0;
/// Milliseconds of latency: less is noise of the machine or the network.
const LATENCY_FLOOR: f64 = 20.0;
/// Share of failures.
const FAILURES_FLOOR: f64 = 0.01;
/// Highest share of failures that can be usual: an origin with more is always in trouble.
const FAILURES_USUAL: f64 = 0.2;
/// Falls in a row that may fail to help.
const PATIENCE: u32 = 6;

/// Result of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sign {
    /// No trouble.
    Well,
    /// Connections fail.
    Fails,
    /// Responses take this much longer than usual.
    Slow(Duration),
    /// Responses stay slow whatever the rate is.
    Stuck,
}

/// The running interval, and the usual levels.
#[derive(Debug)]
pub(super) struct Signs {
    since: Duration,
    latencies: Latencies,
    /// Failures, and all ends; over several intervals until there are enough.
    failed: u32,
    ended: u32,
    /// Responses since the last failure.
    in_row: u32,
    /// Level of latencies, in milliseconds.
    latency: Level,
    /// Level of failures, as a share of all ends.
    failures: Level,
}

impl Signs {
    pub(super) fn new() -> Self {
        Self {
            since: Duration::ZERO,
            latencies: Latencies::default(),
            failed: 0,
            ended: 0,
            in_row: 0,
            // A latency below the usual one is usual at once.
            latency: Level::new(LATENCY_FLOOR, [1.0, 0.0]),
            // A share varies by chance, so the usual one follows slowly.
            failures: Level {
                usual: Some(0.0),
                ..Level::new(FAILURES_FLOOR, [0.05, 0.05])
            },
        }
    }

    /// Begins a new interval at `at`.
    pub(super) fn restart(&mut self, at: Duration) {
        self.since = at;
        self.latencies = Latencies::default();
        (self.failed, self.ended) = (0, 0);
    }

    /// Measures the usual latency anew from `at` on.
    pub(super) fn forget_latency(&mut self, at: Duration) {
        self.latency.usual = None;
        self.restart(at);
    }

    /// The usual median latency, once there is one.
    pub(super) fn usual_latency(&self) -> Option<Duration> {
        self.latency.usual.map(millis)
    }

    /// A response came after `latency`, or none came. Returns the interval's result when it is over.
    pub(super) fn handle_end(&mut self, now: Duration, latency: Option<Duration>) -> Option<Sign> {
        match latency {
            Some(latency) => {
                self.latencies.add(latency);
                self.in_row += 1;
            }
            None => (self.failed, self.in_row) = (self.failed + 1, 0),
        }
        self.ended += 1;
        if now < self.since + INTERVAL || self.latencies.count + self.failed < LEAST {
            return None;
        }
        let fails = self.fails();
        let enough = self.latencies.count >= LEAST;
        let median = self.latencies.median().filter(|_| enough);
        let slow = median.and_then(|median| {
            let best = self.latency.usual;
            let grown = self.latency.is_grown(median);
            grown.then(|| millis(median - best.unwrap_or(median)))
        });
        self.since = now;
        self.latencies = Latencies::default();
        let stuck = slow.is_some() && self.latency.in_row > PATIENCE;
        Some(match slow {
            _ if fails => Sign::Fails,
            _ if stuck => Sign::Stuck,
            Some(by) => Sign::Slow(by),
            None => Sign::Well,
        })
    }

    fn fails(&mut self) -> bool {
        let share = f64::from(self.failed) / f64::from(self.ended);
        let clear = share >= CLEAR && self.failed >= FEW;
        if self.ended < MANY && !clear {
            return false;
        }
        let few = self.failed < FEW;
        // In this many responses some failures were to be expected, had they not stopped.
        let stopped = f64::from(self.in_row) * share > STOPPED;
        (self.failed, self.ended) = (0, 0);
        let grown = self.failures.is_grown(share);
        if self.failures.in_row > PATIENCE {
            self.failures.in_row = 0;
            self.failures.usual = Some(share.min(FAILURES_USUAL));
        }
        grown && !few && !stopped
    }
}

fn millis(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default()
}

/// A quantity that grows under load, and its usual value.
#[derive(Debug)]
struct Level {
    usual: Option<f64>,
    /// To have grown, the quantity must also be this much above the multiple.
    floor: f64,
    /// Share by which the usual value follows a lower one, and a higher one that has not grown.
    follows: [f64; 2],
    /// Times in a row that the quantity had grown.
    in_row: u32,
}

impl Level {
    fn new(floor: f64, follows: [f64; 2]) -> Self {
        Self {
            usual: None,
            floor,
            follows,
            in_row: 0,
        }
    }

    /// Returns true if `now` is clearly more than usual.
    fn is_grown(&mut self, now: f64) -> bool {
        let usual = *self.usual.get_or_insert(now);
        if now <= usual * GROWN + self.floor {
            self.in_row = 0;
            let follows = self.follows[usize::from(now > usual)];
            self.usual = Some(usual + (now - usual) * follows);
            return false;
        }
        self.in_row += 1;
        true
    }
}

/// Buckets of each octave of latency.
const STEPS: f64 = 4.0;
/// Number of buckets: 20 octaves from 64 µs on, more than a minute.
const BUCKETS: usize = 80;
/// Lower end of the first bucket, in milliseconds.
const FIRST: f64 = 0.064;

/// Histogram of latencies, with a precision of a fifth.
#[derive(Debug)]
struct Latencies {
    counts: [u32; BUCKETS],
    count: u32,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            count: 0,
        }
    }
}

impl Latencies {
    fn add(&mut self, latency: Duration) {
        let step = (latency.as_secs_f64() * 1e3 / FIRST).log2() * STEPS;
        let at = step.clamp(0.0, BUCKETS as f64 - 1.0) as usize;
        self.counts[at] += 1;
        self.count += 1;
    }

    /// Median in milliseconds; none without latencies.
    fn median(&self) -> Option<f64> {
        let half = self.count.div_ceil(2);
        let mut before = 0;
        let at = self.counts.iter().position(|count| {
            before += count;
            before >= half && before > 0
        })?;
        Some(FIRST * ((at as f64 + 0.5) / STEPS).exp2())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results of a second of responses with this latency, `failing` in a hundred of which fail.
    fn shows(signs: &mut Signs, second: u64, latency: u64, failing: u64) -> Vec<Sign> {
        let latency = Duration::from_millis(latency);
        let ended = (0..100).filter_map(|n| {
            let now = Duration::from_millis(second * 1_000 + n * 10);
            signs.handle_end(now, (n % 100 >= failing).then_some(latency))
        });
        ended.collect()
    }

    #[test]
    fn latencies_that_grow_are_a_sign_until_falling_does_not_help() {
        let slow = |sign: &Sign| matches!(sign, Sign::Slow(_));
        let mut signs = Signs::new();
        assert!(
            shows(&mut signs, 0, 10, 0)
                .iter()
                .all(|it| *it == Sign::Well)
        );
        assert!(
            shows(&mut signs, 1, 35, 0)
                .iter()
                .all(|it| *it == Sign::Well)
        );
        let shown = [2, 3]
            .map(|second| shows(&mut signs, second, 100, 0))
            .concat();
        assert_eq!(
            shown.iter().filter(|sign| slow(sign)).count(),
            6,
            "{shown:?}"
        );
        // It is still so: then it may be how it is.
        assert_eq!(shown.last(), Some(&Sign::Stuck));
        signs.forget_latency(Duration::from_secs(4));
        assert!(
            shows(&mut signs, 4, 100, 0)
                .iter()
                .all(|it| *it == Sign::Well)
        );
        let usual = signs.usual_latency().expect("it is known").as_millis();
        assert!((80..125).contains(&usual), "{usual}");
        // What is less is usual at once.
        assert!(
            shows(&mut signs, 5, 10, 0)
                .iter()
                .all(|it| *it == Sign::Well)
        );
        assert!(shows(&mut signs, 6, 100, 0).iter().any(slow));
    }

    #[test]
    fn failures_that_were_always_there_are_none() {
        let mut signs = Signs::new();
        let all: Vec<Sign> = (0..20)
            .flat_map(|second| shows(&mut signs, second, 10, 5))
            .collect();
        assert!(all.contains(&Sign::Fails), "{all:?}");
        assert!(
            all[all.len() / 2..].iter().all(|it| *it == Sign::Well),
            "{all:?}"
        );
    }

    #[test]
    fn one_who_mostly_fails_never_does_well() {
        let mut signs = Signs::new();
        for second in 0..20 {
            let shown = shows(&mut signs, second, 10, 100);
            assert!(shown.iter().all(|it| *it == Sign::Fails), "{shown:?}");
        }
    }
}
