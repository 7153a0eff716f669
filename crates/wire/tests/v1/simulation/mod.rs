//! Client, lossy link and relay, driven by a seed. The same seed gives the same trace.
//!
//! `world` holds the parts and moves frames between them. `steps` chooses the next action, and `holds`
//! checks the properties. `apps` knows each fetch's bytes. `watch` counts limits and frames a second
//! time, from the frames alone. `link` is the socket and the relay's directory.
//!
//! `FETCHWAY_SEEDS=N` runs that many seeds, `FETCHWAY_SEED=N` one seed with each of its steps printed.

mod apps;
mod holds;
mod link;
mod random;
mod steps;
mod watch;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use self::world::{Totals, World};

/// Number of seeds in an ordinary test run.
const SEEDS: u64 = 50;

fn run(seed: u64, tell: bool) -> (u64, Totals) {
    let mut world = World::new(seed, tell);
    world.run();
    world.finish()
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

#[test]
#[expect(clippy::print_stderr, reason = "the seed that failed, and the totals")]
fn seeds() {
    if let Some(seed) = number("FETCHWAY_SEED") {
        eprintln!("{:?}", run(seed, true));
        return;
    }
    let seeds = number("FETCHWAY_SEEDS").unwrap_or(SEEDS);
    let mut all = Totals::default();
    for seed in 0..seeds {
        match catch_unwind(AssertUnwindSafe(|| run(seed, false))) {
            Ok((_, totals)) => all.add(&totals),
            Err(panic) => {
                eprintln!("seed {seed} failed; FETCHWAY_SEED={seed} prints its steps");
                resume_unwind(panic);
            }
        }
    }
    eprintln!("{seeds} seeds passed: {all:?}");
    assert!(seeds < SEEDS || all.is_broad(), "{all:?}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let mut traces = Vec::new();
    for seed in 0..10 {
        let first = run(seed, false);
        assert_eq!(first, run(seed, false), "seed {seed}");
        traces.push(first.0);
    }
    traces.dedup();
    assert_eq!(traces.len(), 10, "other seeds give other traces");
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.streams += other.streams;
        self.complete += other.complete;
        self.cancelled += other.cancelled;
        self.failed += other.failed;
        self.unseen += other.unseen;
        self.unknown += other.unknown;
        self.cuts += other.cuts;
        self.sleeps += other.sleeps;
        self.frames += other.frames;
        self.repeated += other.repeated;
        self.bytes += other.bytes;
    }

    /// Checks that everything that can happen did happen.
    fn is_broad(&self) -> bool {
        let seen = [
            self.complete,
            self.cancelled,
            self.failed,
            self.unseen,
            self.unknown,
            self.cuts,
            self.sleeps,
            self.repeated,
        ];
        seen.iter().all(|count| *count > 0)
    }
}
