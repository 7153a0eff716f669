//! Tests a search against simulated origins with different kinds of limits.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Refusal, Search, Verdict};
use crate::pace::Pace;

/// Reaction of an origin to requests beyond its limit.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Answers 429 beyond its limit in any second, and names no time to wait.
    Refuses,
    /// Answers one after the other; the others wait.
    Queues,
    /// Resets connections beyond its limit in any second.
    Resets,
}

struct Origin {
    kind: Kind,
    /// Limits per second, each with the time from which it holds.
    bears: Vec<(Duration, f64)>,
    /// Round-trip time.
    trip: Duration,
    within: VecDeque<Duration>,
    free_at: Duration,
}

impl Origin {
    fn new(kind: Kind, bears: f64, trip: Duration) -> Self {
        Self {
            kind,
            bears: vec![(Duration::ZERO, bears)],
            trip,
            within: VecDeque::new(),
            free_at: Duration::ZERO,
        }
    }

    fn bears(&self, now: Duration) -> f64 {
        let past = self.bears.iter().rev().find(|(from, _)| *from <= now);
        past.map_or(0.0, |(_, bears)| *bears)
    }

    /// Returns when the response to a request sent now is back, and its verdict.
    fn answer(&mut self, sent: Duration) -> (Duration, Verdict) {
        let (there, bears) = (sent + self.trip / 2, self.bears(sent));
        let second = Duration::from_secs(1);
        match self.kind {
            Kind::Refuses | Kind::Resets => {
                while self.within.front().is_some_and(|at| *at + second <= there) {
                    self.within.pop_front();
                }
                let back = there + self.trip / 2;
                if (self.within.len() as f64) < bears {
                    self.within.push_back(there);
                    return (back, Verdict::Answered(back - sent));
                }
                match self.kind {
                    Kind::Refuses => (back, Verdict::Refused(Refusal::TooMany)),
                    _ => (back, Verdict::Failed),
                }
            }
            Kind::Queues => {
                self.free_at = self.free_at.max(there) + second.div_f64(bears);
                let back = self.free_at + self.trip / 2;
                (back, Verdict::Answered(back - sent))
            }
        }
    }
}

/// Counts of a second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    sent: u32,
    answered: u32,
    /// Refused or reset.
    not: u32,
    /// The longest latency.
    longest: Duration,
}

struct Run {
    pace: Pace,
    seconds: Vec<Second>,
}

impl Run {
    /// Runs slots of a fifth of a millisecond, each used if the pace allows it and fewer than `concurrency`
    /// are in flight.
    fn of(origin: &mut Origin, seconds: u32, concurrency: usize) -> Self {
        let mut run = Self {
            pace: Pace::new(None, true),
            seconds: vec![Second::default(); seconds as usize],
        };
        let mut flying: BTreeMap<(Duration, u32), (Duration, Verdict)> = BTreeMap::new();
        for slot in 0..seconds * 5_000 {
            let now = Duration::from_micros(200) * slot;
            while let Some(first) = flying.first_entry()
                && first.key().0 <= now
            {
                let ((at, _), (sent, ended)) = first.remove_entry();
                run.pace.handle_verdict(at, sent, ended, None);
            }
            // A coarse slot may be that of several.
            let mut more = 0;
            while run.pace.next_at() <= now && flying.len() < concurrency && more < 10 {
                more += 1;
                run.pace.handle_sent(now);
                let (back, ended) = origin.answer(now);
                flying.insert((back, slot * 10 + more), (now, ended));
                let second = &mut run.seconds[now.as_secs() as usize];
                second.sent += 1;
                match ended {
                    Verdict::Answered(latency) => {
                        second.answered += 1;
                        second.longest = second.longest.max(latency);
                    }
                    _ => second.not += 1,
                }
            }
        }
        run
    }

    fn search(&self) -> &Search {
        self.pace.search().expect("it is adaptive")
    }

    /// Returns the answers a second as a share of `bears`, the share that was not answered, and the longest
    /// latency.
    fn between(&self, from: usize, to: usize, bears: f64) -> (f64, f64, Duration) {
        let seconds = &self.seconds[from..to];
        let sum = |of: fn(&Second) -> u32| seconds.iter().map(of).sum::<u32>();
        let (sent, answered, not) = (sum(|it| it.sent), sum(|it| it.answered), sum(|it| it.not));
        let longest = seconds.iter().map(|it| it.longest).max();
        (
            f64::from(answered) / (to - from) as f64 / bears,
            f64::from(not) / f64::from(sent.max(1)),
            longest.unwrap_or_default(),
        )
    }
}

/// More than are ever in flight.
const MANY: usize = 1_000_000;
const KINDS: [Kind; 3] = [Kind::Refuses, Kind::Queues, Kind::Resets];
const TRIPS: [Duration; 3] = [
    Duration::from_millis(1),
    Duration::from_millis(20),
    Duration::from_millis(200),
];

#[test]
fn what_an_origin_bears_is_found_and_kept_to() {
    for kind in KINDS {
        for trip in TRIPS {
            for bears in [50.0, 1_000.0, 5_000.0] {
                let run = Run::of(&mut Origin::new(kind, bears, trip), 60, MANY);
                let (used, not, longest) = run.between(15, 60, bears);
                let found = run.search().found() / bears;
                let of = format!(
                    "{kind:?} {bears}/s at {trip:?}: {used:.3} used, {not:.4} not answered, \
                     {longest:?} at most, {found:.3} found"
                );
                assert!(used > 0.88, "{of}");
                assert!(not < 0.015, "{of}");
                assert!((0.85..1.2).contains(&found), "{of}");
                assert!(longest < 4 * trip + Duration::from_millis(200), "{of}");
            }
        }
    }
}

#[test]
fn an_origin_of_a_few_a_second_is_not_buried() {
    let trip = Duration::from_millis(20);
    for bears in [2.0, 5.0, 10.0] {
        let run = Run::of(&mut Origin::new(Kind::Queues, bears, trip), 240, MANY);
        let (used, _, longest) = run.between(200, 240, bears);
        let of = format!("{bears}/s: {used:.3} used, {longest:?} at most");
        assert!((0.85..1.05).contains(&used), "{of}");
        // Ten of them.
        assert!(longest.as_secs_f64() < 10.0 / bears, "{of}");
    }
}

#[test]
fn what_changes_midway_is_followed() {
    let trip = Duration::from_millis(20);
    for kind in KINDS {
        let mut origin = Origin::new(kind, 1_000.0, trip);
        let secs = Duration::from_secs;
        origin
            .bears
            .extend([(secs(20), 200.0), (secs(60), 2_000.0)]);
        let run = Run::of(&mut origin, 140, MANY);
        for (from, to, bears) in [(10, 20, 1_000.0), (35, 60, 200.0), (110, 140, 2_000.0)] {
            let (used, not, longest) = run.between(from, to, bears);
            let of = format!(
                "{kind:?} {bears}/s: {used:.3} used, {not:.4} not answered, {longest:?} at most"
            );
            assert!((0.8..1.05).contains(&used), "{of}");
            assert!(not < 0.015, "{of}");
            assert!(longest < Duration::from_millis(250), "{of}");
        }
    }
}

#[test]
fn one_that_is_dead_for_a_while_is_found_again() {
    for kind in [Kind::Refuses, Kind::Resets] {
        let mut origin = Origin::new(kind, 1_000.0, Duration::from_millis(20));
        let secs = Duration::from_secs;
        origin.bears.extend([(secs(20), 0.0), (secs(60), 1_000.0)]);
        let run = Run::of(&mut origin, 130, MANY);
        let tried: u32 = run.seconds[30..60].iter().map(|it| it.sent).sum();
        assert!(
            (15..100).contains(&tried),
            "{kind:?}: {tried} in half a minute"
        );
        let (used, not, _) = run.between(110, 130, 1_000.0);
        let of = format!("{kind:?}: {used:.3} used, {not:.4} not answered");
        assert!(used > 0.8 && not < 0.015, "{of}");
    }
}

#[test]
fn what_is_held_back_by_something_else_does_not_rise() {
    // Ten under way, each for 20 ms: 500 a second, of an origin that bears more.
    let trip = Duration::from_millis(20);
    let run = Run::of(&mut Origin::new(Kind::Queues, 4_000.0, trip), 60, 10);
    let (used, _, _) = run.between(10, 60, 500.0);
    let found = run.search().found();
    assert!(
        used > 0.95 && found < 700.0,
        "{used:.3} used, {found:.0} found"
    );
    assert_eq!(run.search().troubles(), 0);
}

#[test]
fn five_thousand_a_second_are_nearly_found_after_ten_seconds() {
    let trip = Duration::from_millis(20);
    let run = Run::of(&mut Origin::new(Kind::Queues, 5_000.0, trip), 15, MANY);
    let (used, _, _) = run.between(10, 15, 5_000.0);
    assert!(used > 0.75, "{used:.3} used");
}
