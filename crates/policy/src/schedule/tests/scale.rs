//! Work per event does not grow with what waits. Steps are flows and members looked at.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::super::{AccountId, Event, OriginId, Schedule, Submission, Submitted, Ticket};
use super::world::{NO_LIMITS, lane, origin};
use crate::lane::{LaneConfig, OriginLimits};

/// A schedule with fetches in progress that end after a while, in simulated time.
struct Run {
    machine: Schedule,
    start: Instant,
    now: Instant,
    ends: BinaryHeap<Reverse<(Instant, u32)>>,
    tickets: Vec<Ticket>,
    seed: u64,
    events: u64,
}

impl Run {
    fn new(config: LaneConfig) -> Self {
        // Any instant will do: nothing depends on the day.
        let now = Instant::now();
        Self {
            machine: Schedule::new(&[config.clone(), config]),
            start: now,
            now,
            ends: BinaryHeap::new(),
            tickets: Vec::new(),
            seed: 1,
            events: 0,
        }
    }

    fn accounts(&mut self, count: usize) -> Vec<AccountId> {
        let open = |_| self.machine.open_account(NO_LIMITS);
        (0..count).map(open).collect()
    }

    fn origins(&mut self, count: usize, limits: OriginLimits) -> Vec<OriginId> {
        (0..count).map(|_| self.machine.origin(limits)).collect()
    }

    fn submit(&mut self, lane: usize, origin: OriginId, account: AccountId) {
        let request = Submission {
            lane,
            origin,
            account,
            bytes: 1,
            repeated: false,
        };
        self.events += 1;
        match self.machine.submit(self.now, &request) {
            Submitted::Granted(ticket) => self.start(ticket),
            Submitted::Queued(_) => {}
            Submitted::Refused(error) => panic!("{error}"),
        }
    }

    /// A fetch takes 10 to 30 ms.
    fn start(&mut self, ticket: Ticket) {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let takes = Duration::from_micros(10_000 + (self.seed >> 33) % 20_000);
        let index = u32::try_from(self.tickets.len()).expect("few tickets");
        self.tickets.push(ticket);
        self.ends.push(Reverse((self.now + takes, index)));
    }

    /// Goes on until nothing is in progress or waits, or until `end`.
    fn run(&mut self, end: Duration) {
        let end = self.start + end;
        loop {
            let ends = self.ends.peek().map(|Reverse((at, _))| *at);
            let next = ends.into_iter().chain(self.machine.next_deadline()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                return;
            };
            self.now = next;
            self.events += 1;
            if ends == Some(next)
                && let Some(Reverse((_, index))) = self.ends.pop()
            {
                self.machine.finish(self.tickets[index as usize], self.now);
            } else {
                self.machine.poll(self.now);
            }
            while let Some(event) = self.machine.next_event() {
                match event {
                    Event::Granted(ticket) => self.start(ticket),
                    Event::Expired(ticket) => self.machine.finish(ticket, self.now),
                }
            }
        }
    }

    fn assert_cheap(&self, per_event: u64) {
        let (steps, events) = (self.machine.steps, self.events);
        assert!(
            steps <= per_event * events,
            "{steps} steps for {events} events"
        );
    }
}

const LONG: Duration = Duration::from_secs(3000);

#[test]
fn a_hundred_thousand_waiters_of_one_flow() {
    let mut run = Run::new(lane(100, 0));
    let account = run.accounts(1)[0];
    let origin = run.origins(1, origin(1000, 0))[0];
    for _ in 0..100_000 {
        run.submit(0, origin, account);
    }
    run.run(LONG);
    assert_eq!(run.tickets.len(), 100_000);
    run.assert_cheap(2);
    run.machine.check_empty();
}

#[test]
fn ten_thousand_origins_in_one_lane() {
    let mut run = Run::new(lane(100, 0));
    let accounts = run.accounts(3);
    let origins = run.origins(10_000, origin(1, 0));
    for (at, origin) in origins.iter().enumerate() {
        for _ in 0..5 {
            run.submit(0, *origin, accounts[at % 3]);
        }
    }
    run.run(LONG);
    assert_eq!(run.tickets.len(), 50_000);
    run.assert_cheap(4);
    run.machine.check_empty();
}

/// A lane's pace and an origin's permits are short in turn, which moves flows between them.
#[test]
fn five_thousand_accounts_between_a_pace_and_a_full_origin() {
    let mut run = Run::new(lane(100_000, 1000));
    let accounts = run.accounts(5000);
    let origin = run.origins(1, origin(20, 0))[0];
    for _ in 0..4 {
        for account in &accounts {
            run.submit(0, origin, *account);
        }
    }
    run.run(LONG);
    assert_eq!(run.tickets.len(), 20_000);
    run.assert_cheap(8);
    run.machine.check_empty();
}

/// The same with two lanes and several origins, so that gates find some flows blocked and others
/// not.
#[test]
fn five_thousand_accounts_between_two_paces_and_several_full_origins() {
    let mut run = Run::new(lane(100_000, 500));
    let accounts = run.accounts(5000);
    let origins = run.origins(4, origin(5, 0));
    for turn in 0..4 {
        for (at, account) in accounts.iter().enumerate() {
            run.submit((at + turn) % 2, origins[(at / 7 + turn) % 4], *account);
        }
    }
    run.run(LONG);
    assert_eq!(run.tickets.len(), 20_000);
    run.assert_cheap(16);
    run.machine.check_empty();
}

/// Idle origins can be forgotten, so their number does not grow with the names ever seen.
#[test]
fn a_hundred_thousand_origins_one_after_another() {
    let mut run = Run::new(lane(100, 0));
    let account = run.accounts(1)[0];
    for _ in 0..100_000 {
        let origin = run.origins(1, origin(1, 0))[0];
        run.submit(0, origin, account);
        run.run(LONG);
        assert!(run.machine.forget_origin(origin, run.now));
    }
    assert_eq!(run.machine.origins(), 0);
    run.machine.check_empty();
}
