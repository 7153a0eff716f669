//! A schedule beside a naive model of it, which judges every answer and event.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::super::{
    AccountId, AccountLimits, Event, OriginId, Schedule, Submission, Submitted, Ticket,
};
use crate::lane::{LaneConfig, OriginLimits, QueueBounds, Rate};

pub(super) const NO_LIMITS: AccountLimits = AccountLimits {
    in_flight: usize::MAX,
    queued: usize::MAX,
    queued_bytes: usize::MAX,
};

/// A lane with this many permits and dispatches per second (0: unpaced), and a roomy queue.
pub(super) fn lane(concurrency: usize, rate: u32) -> LaneConfig {
    LaneConfig {
        rate: per_second(rate),
        concurrency,
        queue: QueueBounds {
            count: 1_000_000,
            bytes: usize::MAX,
            wait: Duration::from_secs(3600),
        },
        ..LaneConfig::default()
    }
}

pub(super) fn origin(concurrency: usize, rate: u32) -> OriginLimits {
    OriginLimits {
        rate: per_second(rate),
        concurrency,
    }
}

fn per_second(count: u32) -> Option<Rate> {
    let window = Duration::from_secs(1);
    (count > 0).then_some(Rate { count, window })
}

/// Lane, origin, account: indices into the world's lists.
pub(super) type Path = (usize, usize, usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Queued,
    Held,
    Paused,
    Expired,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Track {
    pub(super) ticket: Ticket,
    pub(super) path: Path,
    pub(super) phase: Phase,
    /// How many had started before it.
    pub(super) turn: usize,
    repeated: bool,
    bytes: usize,
}

/// The model's state of one lane or origin.
#[derive(Clone, Debug)]
struct Gate {
    limit: usize,
    interval: Option<Duration>,
    slow_until: Instant,
    /// Slots taken at the present instant.
    taken: u128,
    last: Option<Instant>,
}

pub(super) struct World {
    pub(super) machine: Schedule,
    pub(super) now: Instant,
    /// The instant of the last call before this one.
    before: Instant,
    /// Time passes in [`Self::pass`] only, so dispatches keep their distance.
    pub(super) punctual: bool,
    gates: [Vec<Gate>; 2],
    pub(super) lanes: Vec<LaneConfig>,
    pub(super) origins: Vec<OriginId>,
    pub(super) accounts: Vec<(AccountId, AccountLimits)>,
    pub(super) tracks: Vec<Track>,
    flows: BTreeMap<Path, VecDeque<Ticket>>,
    /// Accounts in the order in which their fetches started.
    pub(super) started: Vec<usize>,
}

impl World {
    pub(super) fn new(
        lanes: &[LaneConfig],
        origins: &[OriginLimits],
        accounts: &[AccountLimits],
    ) -> Self {
        // Any instant will do: nothing depends on the day.
        let now = Instant::now();
        let mut machine = Schedule::new(lanes);
        let gate = |limit, rate: Option<Rate>| Gate {
            limit,
            interval: rate.map(Rate::interval),
            slow_until: now,
            taken: 0,
            last: None,
        };
        Self {
            now,
            before: now,
            punctual: false,
            gates: [
                lanes.iter().map(|l| gate(l.concurrency, l.rate)).collect(),
                origins
                    .iter()
                    .map(|o| gate(o.concurrency, o.rate))
                    .collect(),
            ],
            lanes: lanes.to_vec(),
            origins: origins.iter().map(|o| machine.origin(*o)).collect(),
            accounts: accounts
                .iter()
                .map(|limits| (machine.open_account(*limits), *limits))
                .collect(),
            machine,
            tracks: Vec::new(),
            flows: BTreeMap::new(),
            started: Vec::new(),
        }
    }

    /// Lets time pass, stopping at every deadline as a punctual driver does.
    pub(super) fn pass(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(deadline) = self.machine.next_deadline()
            && deadline <= end
        {
            self.jump_to(deadline);
        }
        self.jump_to(end);
    }

    /// Wakes up at `at`, however late that is.
    pub(super) fn jump_to(&mut self, at: Instant) {
        if at > self.now {
            (self.before, self.now) = (self.now, at);
            for gate in self.gates.iter_mut().flatten() {
                gate.taken = 0;
            }
        }
        self.machine.poll(self.now);
        self.settle();
    }

    /// Submits, and says whether there was room.
    pub(super) fn submit(&mut self, path: Path, bytes: usize, repeated: bool) -> bool {
        let request = Submission {
            lane: path.0,
            origin: self.origins[path.1],
            account: self.accounts[path.2].0,
            bytes,
            repeated,
        };
        let answer = self.machine.submit(self.now, &request);
        let room = self.has_room(path, bytes) || repeated;
        let (ticket, starts) = match answer {
            Submitted::Granted(ticket) => (ticket, true),
            Submitted::Queued(ticket) => {
                assert!(room, "queued beyond a bound");
                (ticket, false)
            }
            Submitted::Refused(error) => {
                assert!(!room, "refused though there is room: {error}");
                self.settle();
                return false;
            }
        };
        let waiting = self.flows.entry(path).or_default();
        assert!(!starts || waiting.is_empty(), "overtook its own flow");
        let tracks = &self.tracks;
        let repeated_ones = waiting.iter().filter(|waits| {
            let track = tracks.iter().find(|track| track.ticket == **waits);
            track.expect("a waiting ticket is tracked").repeated
        });
        let place = if repeated {
            repeated_ones.count()
        } else {
            waiting.len()
        };
        waiting.insert(place, ticket);
        self.tracks.push(Track {
            ticket,
            path,
            phase: Phase::Queued,
            turn: 0,
            repeated,
            bytes,
        });
        if starts {
            self.start(ticket);
        }
        self.settle();
        true
    }

    /// The queue bounds, from the model's own counts.
    fn has_room(&self, path: Path, bytes: usize) -> bool {
        let limits = self.accounts[path.2].1;
        let bounds = self.lanes[path.0].queue;
        let queued = |select: &dyn Fn(&Track) -> bool| {
            let waits = |t: &&Track| t.phase == Phase::Queued && select(t);
            let of = self.tracks.iter().filter(waits);
            of.fold((0, 0), |sum, t| (sum.0 + 1, sum.1 + t.bytes))
        };
        let account = queued(&|t| t.path.2 == path.2);
        let lane = queued(&|t| t.path.0 == path.0);
        let mine = queued(&|t| t.path.0 == path.0 && t.path.2 == path.2);
        let fits = |used: (usize, usize), count: usize, size: usize| {
            used.0 < count && bytes <= size.saturating_sub(used.1)
        };
        fits(account, limits.queued, limits.queued_bytes)
            && fits(lane, bounds.count, bounds.bytes)
            && (mine.0 == 0
                || (mine.0 + 1 + lane.0 < bounds.count
                    && mine.1 + 2 * bytes <= bounds.bytes.saturating_sub(lane.1)))
    }

    pub(super) fn finish(&mut self, index: usize) {
        let track = self.tracks.remove(index);
        if track.phase == Phase::Queued {
            let flow = self.flows.get_mut(&track.path).expect("its flow");
            flow.retain(|ticket| *ticket != track.ticket);
        }
        self.machine.finish(track.ticket, self.now);
        self.machine.finish(track.ticket, self.now);
        self.settle();
    }

    pub(super) fn pause(&mut self, index: usize, paused: bool) {
        let track = &mut self.tracks[index];
        if paused {
            self.machine.pause(track.ticket, self.now);
        } else {
            self.machine.resume(track.ticket, self.now);
        }
        match (track.phase, paused) {
            (Phase::Held, true) => track.phase = Phase::Paused,
            (Phase::Paused, false) => track.phase = Phase::Held,
            _ => {}
        }
        self.settle();
    }

    pub(super) fn slow(&mut self, origin: usize, by: Duration) {
        let until = self.now + by;
        self.machine
            .slow_origin(self.origins[origin], until, self.now);
        let gate = &mut self.gates[1][origin];
        gate.slow_until = gate.slow_until.max(until);
        self.settle();
    }

    /// Fetches in progress that `select` chooses: all, and those that are paused.
    pub(super) fn held(&self, select: impl Fn(Path) -> bool) -> (usize, usize) {
        let chosen = self.tracks.iter().filter(|t| select(t.path));
        chosen.fold((0, 0), |(held, paused), track| match track.phase {
            Phase::Held => (held + 1, paused),
            Phase::Paused => (held + 1, paused + 1),
            Phase::Queued | Phase::Expired => (held, paused),
        })
    }

    pub(super) fn waiting(&self, select: impl Fn(Path) -> bool) -> usize {
        let waits = |t: &&Track| t.phase == Phase::Queued && select(t.path);
        self.tracks.iter().filter(waits).count()
    }

    /// Takes in what the machine has to tell, and lets it check itself.
    fn settle(&mut self) {
        while let Some(event) = self.machine.next_event() {
            match event {
                Event::Granted(ticket) => self.start(ticket),
                Event::Expired(ticket) => {
                    let track = self.tracks.iter_mut().find(|t| t.ticket == ticket);
                    let track = track.expect("only live tickets expire");
                    assert_eq!(track.phase, Phase::Queued);
                    track.phase = Phase::Expired;
                    let flow = self.flows.get_mut(&track.path).expect("its flow");
                    assert_eq!(flow.len(), {
                        flow.retain(|t| *t != ticket);
                        flow.len() + 1
                    });
                }
            }
        }
        self.machine.check();
    }

    /// Judges a grant.
    fn start(&mut self, ticket: Ticket) {
        let index = self.tracks.iter().position(|t| t.ticket == ticket);
        let index = index.expect("only live tickets are granted");
        let path = self.tracks[index].path;
        assert_eq!(self.tracks[index].phase, Phase::Queued, "granted twice");
        let first = self.flows.get_mut(&path).and_then(VecDeque::pop_front);
        assert_eq!(first, Some(ticket), "not the first of its flow");
        let account = self.accounts[path.2].1;
        assert!(
            self.held(|p| p.2 == path.2).0 < account.in_flight,
            "account"
        );
        self.check_gate(0, path.0, path.2, |p| p.0 == path.0);
        self.check_gate(1, path.1, path.2, |p| p.1 == path.1);
        self.tracks[index].phase = Phase::Held;
        self.tracks[index].turn = self.started.len();
        self.started.push(path.2);
    }

    fn check_gate(&mut self, side: usize, at: usize, account: usize, here: impl Fn(Path) -> bool) {
        let (held, paused) = self.held(&here);
        let stalled = self.held(|p| here(p) && p.2 == account).1 > 0;
        let gate = &mut self.gates[side][at];
        let lent = if stalled {
            0
        } else {
            paused.min(gate.limit.div_ceil(8))
        };
        assert!(held < gate.limit + lent, "over the limit of gate {side}");
        assert!(gate.slow_until <= self.now, "during a Retry-After");
        let Some(interval) = gate.interval else {
            return;
        };
        gate.taken += 1;
        let passed = (self.now - self.before).as_nanos();
        assert!(
            gate.taken <= passed / interval.as_nanos() + 1,
            "over the pace of gate {side}"
        );
        if self.punctual {
            let early = gate.last.is_some_and(|last| last + interval > self.now);
            assert!(!early, "two dispatches too close at gate {side}");
        }
        gate.last = Some(self.now);
    }

    /// Ends all fetches as they come, until none is left, and asserts that nothing else is.
    pub(super) fn drain(&mut self) {
        while !self.tracks.is_empty() {
            if let Some(index) = self.tracks.iter().position(|t| t.phase != Phase::Queued) {
                self.finish(index);
            } else {
                let deadline = self.machine.next_deadline();
                self.jump_to(deadline.expect("a waiting fetch has something to wait for"));
            }
        }
        self.machine.check_empty();
    }
}
