//! Clients that stop reading, next to others that send messages.
//!
//! Three kinds of phases take turns: the senders alone; the senders while messages are pushed at a rate to
//! clients that read; and the same while those clients do not read. Pushes cost the same in the second and the
//! third kind, so their difference is the cost of clients that do not read.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::crowd::{Coming, Crowd, POSTERS, Patience};
use super::gauge::{Gauge, Sizes};
use super::pushing::{Answers, Pushed};
use crate::load::Run;
use crate::say;
use crate::spread::Spread;

/// Size of the senders' messages, in bytes.
const SIZE: usize = 128;

/// Parameters of the phases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slow {
    /// Number of clients that receive pushes and stop reading; these are the first clients.
    pub(crate) clients: usize,
    /// Pushes per second, to one client after the other.
    pub(crate) rate: f64,
    /// Size of a push, in bytes.
    pub(crate) size: usize,
    /// Number of other clients that send in lockstep.
    pub(crate) senders: usize,
    /// Duration of a phase. Must be less than the gateway's `write-stall`, after which slow clients are closed.
    pub(crate) time: Duration,
    /// Phases of each kind.
    pub(crate) rounds: usize,
}

/// Kind of a phase.
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
            Self::Reading => "with pushes that are read",
            Self::Stalled => "with pushes that are not read",
        })
    }
}

/// Results of all phases.
pub(crate) struct Slowed {
    /// Answers to pushes to clients that did not read.
    pub(crate) answers: Answers,
    /// Number of pushes that arrived, in all phases.
    pub(crate) arrived: usize,
    /// Resident memory of the gateway before the phases, and its maximum, in bytes.
    pub(crate) before: u64,
    pub(crate) most: u64,
}

impl Crowd {
    /// Runs all phases. After each phase, the slow clients read again: each must receive every push that was
    /// accepted, and no other.
    pub(crate) fn slow(&mut self, slow: &Slow, gauge: Gauge) -> anyhow::Result<Slowed> {
        ensure!(
            slow.clients > 0 && slow.clients < self.len(),
            "of {} clients, some must be slow and some not: change --slow",
            self.len()
        );
        ensure!(slow.rounds > 0, "--slow-rounds must be at least 1");
        ensure!(slow.rate > 0.0, "--slow-rate must be above zero");
        let before = gauge.sizes()?.map_or(0, |sizes| sizes.resident);
        let mut slowed = Slowed {
            answers: Answers::default(),
            arrived: 0,
            before,
            most: before,
        };
        let mut runs: [Vec<Run>; 3] = [const { Vec::new() }; 3];
        for round in 0..slow.rounds {
            // Another kind is first in each round: other work of the machine then affects all kinds equally.
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
                        .add(pushed.context("no push was sent")?.answers);
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
                // New connections, because the kernel's buffer of a connection grows with the received bytes.
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

    /// Reads until every slow client has received as many pushes as were accepted for it.
    fn read_again(&mut self, clients: usize) -> anyhow::Result<()> {
        for (number, member) in self.roll.members[..clients].iter_mut().enumerate() {
            member.slow = false;
            self.swarm.pause(POSTERS + number, false);
        }
        let mut patience = Patience::new("reading at the slow clients");
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
                "some of them have not received all accepted pushes".to_owned()
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
    say("  senders, median of the rounds (minimum..maximum)");
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
