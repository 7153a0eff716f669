//! The signs of an origin that has too much to do and does not say so: answers that take clearly longer
//! than they did, and connections that fail.
//!
//! Each is looked at over an interval, and against what is usual for this origin: slow answers and broken
//! items are no news where they were there before. Falling is the test of it: what is the rate's doing gets
//! better when the rate falls. If it does not, six times in a row, failures are usual from then on. Of
//! latencies that is not certain, as a long queue takes long to be worked off: they are stuck, and what is
//! usual is to be found out anew when nothing is under way.

use std::time::Duration;

/// How long an interval is at least.
const INTERVAL: Duration = Duration::from_millis(250);
/// How many answers and failures it has at least: of fewer, a share and a median are chance.
const LEAST: u32 = 10;
/// Of fewer, a share of failures is chance, and is looked at with the next interval, unless it is as large as
/// [`CLEAR`].
const MANY: u32 = 100;
const CLEAR: f64 = 0.25;
/// Fewer failures than that are never trouble.
const FEW: u32 = 4;
/// Nor are those that have stopped: so many more were to be met since the last, and were not.
const OVER: f64 = 3.0;
/// So much more than usual is trouble, and this beside: milliseconds of latency ...
const GROWN: f64 = 2.0;
/// (a median of less is the machine's or the network's mood)
const LATENCY_FLOOR: f64 = 20.0;
/// ... or share of failures.
const FAILURES_FLOOR: f64 = 0.01;
/// The most that failures may be usual: an origin most of whose connections fail is always in trouble.
const FAILURES_USUAL: f64 = 0.2;
/// Falls in a row that were to help.
const PATIENCE: u32 = 6;

/// What an interval of answers has shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sign {
    /// It goes well.
    Well,
    /// Connections fail.
    Fails,
    /// Answers take so much longer than they did at best.
    Slow(Duration),
    /// So they do whatever the rate.
    Stuck,
}

/// The running interval, and what is usual.
#[derive(Debug)]
pub(super) struct Signs {
    since: Duration,
    latencies: Latencies,
    /// Of all that ended, those that failed; over several intervals if it takes as many.
    failed: u32,
    ended: u32,
    /// Answers since the last failure.
    in_row: u32,
    /// Of latencies, in milliseconds.
    latency: Level,
    /// Of failures, of all that ended.
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
            // Below the best of all it is usual at once.
            latency: Level::new(LATENCY_FLOOR, [1.0, 0.0]),
            // A share varies by chance, so what is usual follows slowly.
            failures: Level {
                usual: Some(0.0),
                ..Level::new(FAILURES_FLOOR, [0.05, 0.05])
            },
        }
    }

    /// A new interval begins then.
    pub(super) fn restart(&mut self, at: Duration) {
        self.since = at;
        self.latencies = Latencies::default();
        (self.failed, self.ended) = (0, 0);
    }

    /// What is usual of latencies is found out anew, from then on.
    pub(super) fn forget_latency(&mut self, at: Duration) {
        self.latency.usual = None;
        self.restart(at);
    }

    /// The median at best, when there was one.
    pub(super) fn usual_latency(&self) -> Option<Duration> {
        self.latency.usual.map(millis)
    }

    /// An answer took so long, or none came. Says what the interval shows, when it is over.
    pub(super) fn ended(&mut self, now: Duration, latency: Option<Duration>) -> Option<Sign> {
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
        // In so many answers some of it would have been met, were it still so.
        let over = f64::from(self.in_row) * share > OVER;
        (self.failed, self.ended) = (0, 0);
        let grown = self.failures.is_grown(share);
        if self.failures.in_row > PATIENCE {
            self.failures.in_row = 0;
            self.failures.usual = Some(share.min(FAILURES_USUAL));
        }
        grown && !few && !over
    }
}

fn millis(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default()
}

/// Something that grows under load, and what it usually is.
#[derive(Debug)]
struct Level {
    usual: Option<f64>,
    /// Beside being a multiple of the usual, it must be this much more to have grown.
    floor: f64,
    /// How much of the way what is usual follows what is less, and what is more but has not grown.
    follows: [f64; 2],
    /// Times in a row that it had grown.
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

    /// Whether `now` is clearly more than usual.
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

/// Steps of each octave of a latency.
const STEPS: f64 = 4.0;
/// From 64 µs on, 20 octaves: a minute and more.
const BUCKETS: usize = 80;
const FIRST: f64 = 0.064;

/// Latencies counted by size, each to a fifth.
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

    /// In milliseconds; none of nothing.
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

    /// What a second of answers of so many milliseconds shows, of which so many in a hundred fail.
    fn shows(signs: &mut Signs, second: u64, latency: u64, failing: u64) -> Vec<Sign> {
        let latency = Duration::from_millis(latency);
        let ended = (0..100).filter_map(|n| {
            let now = Duration::from_millis(second * 1_000 + n * 10);
            signs.ended(now, (n % 100 >= failing).then_some(latency))
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
