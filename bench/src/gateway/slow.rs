//! Clients that stop reading, beside others that go on.
//!
//! Three kinds of phases take turns: the others alone; the others while clients that read are pushed to,
//! at a rate; and the same while those do not read. The pushes cost something in either: what the second
//! and the third differ by is what standing still costs.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::crowd::{Coming, Crowd, POSTERS, Patience};
use super::gauge::{Gauge, Sizes};
use super::pushing::{Answers, Pushed};
use crate::load::Run;
use crate::say;
use crate::spread::Spread;

/// Bytes of a message of the others.
const SIZE: usize = 128;

/// Who does what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slow {
    /// Clients that are pushed to and stop reading, the first ones.
    pub(crate) clients: usize,
    /// Pushes in a second, to one after the other.
    pub(crate) rate: f64,
    /// Bytes of each.
    pub(crate) size: usize,
    /// Of the others, so many send in lockstep.
    pub(crate) senders: usize,
    /// How long a phase takes. Less than the gateway's `write-stall`, or it rightly closes the slow.
    pub(crate) time: Duration,
    /// Phases of each kind.
    pub(crate) rounds: usize,
}

/// What stands beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Alone,
    Reading,
    Stalled,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Alone, Self::Reading, Self::Stalled];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alone => "alone",
            Self::Reading => "beside pushes that are read",
            Self::Stalled => "beside pushes that are not",
        })
    }
}

/// What came of all phases.
pub(crate) struct Slowed {
    /// How pushes to clients that stood still were answered.
    pub(crate) answers: Answers,
    /// Pushes of any phase that arrived.
    pub(crate) arrived: usize,
    /// The gateway's resident bytes before, and the most.
    pub(crate) before: u64,
    pub(crate) most: u64,
}

impl Crowd {
    /// All phases. After each, whoever stood still reads again: it must get each push that was accepted,
    /// and no other.
    pub(crate) fn slow(&mut self, slow: &Slow, gauge: Gauge) -> anyhow::Result<Slowed> {
        ensure!(
            slow.clients > 0 && slow.clients < self.len(),
            "some of {} clients must be slow and some not",
            self.len()
        );
        ensure!(slow.rounds > 0, "there must be a round");
        ensure!(slow.rate > 0.0, "the rate of pushes must be above zero");
        let before = gauge.sizes()?.map_or(0, |sizes| sizes.resident);
        let mut slowed = Slowed {
            answers: Answers::default(),
            arrived: 0,
            before,
            most: before,
        };
        let mut runs: [Vec<Run>; 3] = [const { Vec::new() }; 3];
        for round in 0..slow.rounds {
            // The first in turns too: what the machine does besides hits all alike.
            for turn in 0..Kind::ALL.len() {
                let at = (round + turn) % Kind::ALL.len();
                let kind = Kind::ALL[at];
                let (run, pushed) = self.phase(kind, slow)?;
                let sizes = gauge.sizes()?;
                slowed.most = slowed.most.max(sizes.map_or(0, |sizes| sizes.peak));
                say_phase(kind, &run, pushed.as_ref(), sizes);
                if kind == Kind::Stalled {
                    self.read_again(slow.clients)?;
                    slowed
                        .answers
                        .add(pushed.context("nobody was pushed to")?.answers);
                }
                self.ensure_complete()?;
                runs[at].push(run);
            }
        }
        let members = &self.roll.members[..slow.clients];
        slowed.arrived = members.iter().map(|m| m.got.count as usize).sum();
        say_ratios(&runs);
        Ok(slowed)
    }

    fn phase(&mut self, kind: Kind, slow: &Slow) -> anyhow::Result<(Run, Option<Pushed>)> {
        let pushing = match kind {
            Kind::Alone => None,
            Kind::Reading | Kind::Stalled => {
                // Over new connections: on one that has taken much the kernel holds ever more.
                let all: Vec<usize> = (0..slow.clients).collect();
                self.arrive(&all, Coming::FREELY.at_once, |_| usize::MAX)?;
                let pushing = self.pushing(0..slow.clients, slow.size)?;
                Some(pushing.at_rate(slow.rate))
            }
        };
        if kind == Kind::Stalled {
            for (number, member) in self.roll.members[..slow.clients].iter_mut().enumerate() {
                member.slow = true;
                self.swarm.pause(POSTERS + number, true);
            }
        }
        self.beside((slow.clients, slow.senders), SIZE, slow.time, pushing)
    }

    /// Until every client that stood still has got as many as were accepted for it.
    fn read_again(&mut self, clients: usize) -> anyhow::Result<()> {
        for (number, member) in self.roll.members[..clients].iter_mut().enumerate() {
            member.slow = false;
            self.swarm.pause(POSTERS + number, false);
        }
        let mut patience = Patience::new("the slow clients read again");
        while !self.roll.has_all_pushes() {
            let roll = &mut self.roll;
            let mut moved = false;
            self.swarm
                .turn(Duration::from_millis(100), |place, seen, _| {
                    if let Some(member) = place.checked_sub(POSTERS) {
                        moved = true;
                        roll.seen(member, &seen)?;
                    }
                    Ok(())
                })?;
            patience.check(moved, || {
                "some of them lack pushes that were accepted".to_owned()
            })?;
        }
        Ok(())
    }
}

fn say_phase(kind: Kind, run: &Run, pushed: Option<&Pushed>, sizes: Option<Sizes>) {
    say(&format!("  {kind}: {run}"));
    if let Some(pushed) = pushed {
        say(&format!(
            "    pushes at {:.0}/s: {}",
            pushed.run.per_second(),
            pushed.answers
        ));
    }
    if let Some(sizes) = sizes {
        say(&format!("    {sizes}"));
    }
}

fn say_ratios(runs: &[Vec<Run>; 3]) {
    let [alone, reading, stalled] = runs;
    say("  of the others, median (least..most of the rounds)");
    for (kind, runs) in Kind::ALL.iter().zip(runs) {
        let of = |of: &dyn Fn(&Run) -> f64, digits| {
            Spread::of(&runs.iter().map(of).collect::<Vec<_>>(), digits).to_string()
        };
        say(&format!(
            "  {:<28} {}/s; latency p50 {} µs, p99 {} µs",
            kind.to_string(),
            of(&Run::per_second, 0),
            of(&|run| run.micros(0.50) as f64, 0),
            of(&|run| run.micros(0.99) as f64, 0)
        ));
    }
    for (name, those) in [("pushes that are read", reading), ("none", alone)] {
        let ratio = |of: &dyn Fn(&Run) -> f64| {
            let pairs = stalled.iter().zip(those);
            let ratios: Vec<f64> = pairs.map(|(this, that)| of(this) / of(that)).collect();
            Spread::of(&ratios, 2)
        };
        say(&format!(
            "  pushes that are not read / {name}: rate {}, p50 {}, p99 {}",
            ratio(&Run::per_second),
            ratio(&|run| run.micros(0.50) as f64),
            ratio(&|run| run.micros(0.99) as f64)
        ));
    }
}
