//! Bounds, progress and accounts of the budget, for any order of events.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{AccountKey, BodyKey, Budget, Reserve};

const CAP: u64 = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Reading,
    Waiting(u64),
    Complete,
}

#[derive(Clone, Copy, Debug)]
struct Track {
    key: BodyKey,
    account: usize,
    bytes: u64,
    /// Bytes that the body will need in total, in the tests of progress.
    size: u64,
    phase: Phase,
}

/// A budget, and the plain sums with which it must agree.
struct World {
    budget: Budget,
    limit: u64,
    accounts: Vec<(AccountKey, u64)>,
    bodies: Vec<Track>,
}

impl World {
    fn new(limit: u64, accounts: &[u64]) -> Self {
        let mut budget = Budget::new(limit);
        let open = |limit: &u64| (budget.open_account(*limit), *limit);
        Self {
            accounts: accounts.iter().map(open).collect(),
            budget,
            limit,
            bodies: Vec::new(),
        }
    }

    fn begin(&mut self, account: usize, size: u64) {
        let key = self.budget.begin(self.accounts[account].0);
        self.bodies.push(Track {
            key,
            account,
            bytes: 0,
            size,
            phase: Phase::Reading,
        });
    }

    fn reserve(&mut self, at: usize, bytes: u64) {
        let body = &mut self.bodies[at];
        if body.phase != Phase::Reading || body.bytes + bytes > CAP {
            return;
        }
        match self.budget.reserve(body.key, bytes) {
            Reserve::Granted => body.bytes += bytes,
            Reserve::Waiting => body.phase = Phase::Waiting(bytes),
        }
        self.settle();
    }

    fn return_unused(&mut self, at: usize, bytes: u64) {
        let body = &mut self.bodies[at];
        self.budget.return_unused(body.key, bytes);
        body.bytes -= bytes.min(body.bytes);
        self.settle();
    }

    fn complete(&mut self, at: usize) {
        self.bodies[at].phase = Phase::Complete;
        self.budget.complete(self.bodies[at].key);
        self.settle();
    }

    fn release(&mut self, at: usize) {
        let body = self.bodies.swap_remove(at);
        self.budget.release(body.key);
        self.budget.release(body.key);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(key) = self.budget.next_granted() {
            let body = self.bodies.iter_mut().find(|body| body.key == key);
            let body = body.expect("only live bodies are granted");
            let Phase::Waiting(bytes) = body.phase else {
                panic!("granted without having waited")
            };
            body.bytes += bytes;
            body.phase = Phase::Reading;
        }
        self.check();
    }

    fn check(&self) {
        let budget = &self.budget;
        let sum = |select: &dyn Fn(&&Track) -> bool| -> u64 {
            self.bodies.iter().filter(select).map(|b| b.bytes).sum()
        };
        assert_eq!(budget.used(), sum(&|_| true));
        assert!(budget.used() <= self.limit + CAP, "over the node's bound");
        for (index, (key, limit)) in self.accounts.iter().enumerate() {
            let used = budget.account_used(*key);
            assert_eq!(used, sum(&|body| body.account == index));
            assert!(used <= limit + CAP, "over the bound of account {index}");
        }
        let ordinary =
            sum(&|body| body.phase != Phase::Complete && budget.privileged != Some(body.key.slot));
        assert_eq!(budget.unfinished, ordinary);
        assert!(ordinary <= self.limit / 2, "over the half for unfinished");
        self.check_nobody_forgotten();
    }

    /// Checks that no body waits that could go on.
    fn check_nobody_forgotten(&self) {
        let budget = &self.budget;
        let room = (self.limit.saturating_sub(budget.used))
            .min((self.limit / 2).saturating_sub(budget.unfinished));
        for (index, (key, limit)) in self.accounts.iter().enumerate() {
            let mine = || self.bodies.iter().filter(|body| body.account == index);
            let waits = |body: &&Track| matches!(body.phase, Phase::Waiting(_));
            let age = |body: &&Track| budget.bodies[body.key.slot].age;
            let Some(front) = mine().filter(waits).min_by_key(age) else {
                continue;
            };
            let Phase::Waiting(bytes) = front.phase else {
                continue;
            };
            let used = budget.account_used(*key);
            let unfinished = mine().filter(|body| body.phase != Phase::Complete);
            let oldest = unfinished.min_by_key(age).map(|body| body.key);
            let draining = mine().any(|body| {
                body.phase == Phase::Complete || budget.privileged == Some(body.key.slot)
            });
            if used + bytes > *limit && (draining || oldest != Some(front.key)) {
                continue;
            }
            let need = if used == front.bytes {
                bytes
            } else {
                used + bytes
            };
            assert!(need > room, "account {index} waits beside enough room");
            assert!(
                budget.privileged.is_some() || budget.used > self.limit,
                "account {index} waits beside a free privilege"
            );
        }
    }

    fn check_empty(&self) {
        let budget = &self.budget;
        assert_eq!(
            (budget.used, budget.unfinished, budget.privileged),
            (0, 0, None)
        );
        assert!(budget.waiting.is_empty() && budget.by_need.is_empty() && budget.by_age.is_empty());
        assert_eq!(budget.bodies.len(), 0);
    }

    /// Lets origins send and readers read, one step at a time in an order that `seed` chooses,
    /// until nothing can go on. The readers of `stopped` accounts never read.
    fn run(&mut self, mut seed: u64, stopped: &BTreeSet<usize>) {
        loop {
            let can_go_on = |body: &Track| match body.phase {
                Phase::Reading => true,
                Phase::Waiting(_) => false,
                Phase::Complete => !stopped.contains(&body.account),
            };
            let able: Vec<usize> = (0..self.bodies.len())
                .filter(|at| can_go_on(&self.bodies[*at]))
                .collect();
            if able.is_empty() {
                return;
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = able[(seed >> 33) as usize % able.len()];
            let body = self.bodies[at];
            if body.phase == Phase::Complete {
                self.release(at);
            } else if body.bytes < body.size {
                let part = 1 + (seed >> 20) % 16;
                self.reserve(at, part.min(body.size - body.bytes));
            } else {
                self.complete(at);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Begin(usize),
    Reserve(usize, u64),
    ReturnUnused(usize, u64),
    Complete(usize),
    Release(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..4usize).prop_map(Op::Begin),
        8 => (any::<usize>(), 0..CAP).prop_map(|(at, bytes)| Op::Reserve(at, bytes)),
        1 => (any::<usize>(), 0..CAP).prop_map(|(at, bytes)| Op::ReturnUnused(at, bytes)),
        2 => any::<usize>().prop_map(Op::Complete),
        2 => any::<usize>().prop_map(Op::Release),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bounds and sums hold after every event, nobody is forgotten, and nothing is left at the end.
    #[test]
    fn any_order_of_events_keeps_the_bounds(
        limit in 1..300u64,
        accounts in prop::collection::vec(0..200u64, 4),
        ops in prop::collection::vec(op(), 1..200),
    ) {
        let mut world = World::new(limit, &accounts);
        for op in ops {
            let pick = |at: usize| (!world.bodies.is_empty()).then(|| at % world.bodies.len());
            match op {
                Op::Begin(account) => world.begin(account, 0),
                Op::Reserve(at, bytes) => if let Some(at) = pick(at) { world.reserve(at, bytes); },
                Op::ReturnUnused(at, bytes) => if let Some(at) = pick(at) { world.return_unused(at, bytes); },
                Op::Complete(at) => if let Some(at) = pick(at) { world.complete(at); },
                Op::Release(at) => if let Some(at) = pick(at) { world.release(at); },
            }
        }
        while !world.bodies.is_empty() {
            world.release(0);
        }
        world.check_empty();
    }

    /// When all answers are written in the end, every body completes, in any order.
    #[test]
    fn every_body_completes_when_answers_are_written(
        limit in 1..200u64,
        accounts in prop::collection::vec(0..100u64, 3),
        bodies in prop::collection::vec((0..3usize, 1..=CAP), 1..40),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(limit, &accounts);
        for (account, size) in bodies {
            world.begin(account, size);
        }
        world.run(seed, &BTreeSet::new());
        prop_assert!(world.bodies.is_empty(), "{:?} are stuck", world.bodies);
        world.check_empty();
    }

    /// Stopped readers within the stated condition keep no other account from completing.
    #[test]
    fn stopped_readers_stop_nobody_else(
        accounts in prop::collection::vec(0..100u64, 5),
        stopped in prop::collection::btree_set(0..5usize, 1..4),
        bodies in prop::collection::vec((0..5usize, 1..=CAP), 1..60),
        seed in any::<u64>(),
    ) {
        let held: u64 = stopped.iter().map(|account| accounts[*account] + CAP).sum();
        let mut world = World::new(2 * held, &accounts);
        for (account, size) in bodies {
            world.begin(account, size);
        }
        world.run(seed, &stopped);
        prop_assert!(world.bodies.iter().all(|body| stopped.contains(&body.account)), "{:?}", world.bodies);
    }
}

#[test]
fn a_account_takes_at_most_what_it_leaves_and_its_only_body_what_is_free() {
    let mut budget = Budget::new(400);
    let account = budget.open_account(1000);
    let first = budget.begin(account);
    assert_eq!(budget.reserve(first, 200), Reserve::Granted, "half, alone");
    budget.complete(first);
    // The privilege is taken by somebody else, who asks for more than there is.
    let greedy = budget.open_account(1000);
    let greedy = budget.begin(greedy);
    assert_eq!(budget.reserve(greedy, 201), Reserve::Waiting);
    assert_eq!(budget.next_granted(), Some(greedy));
    budget.return_unused(greedy, 201);
    let second = budget.begin(account);
    assert_eq!(
        budget.reserve(second, 1),
        Reserve::Waiting,
        "leaves too little"
    );
    let other = budget.open_account(1000);
    let third = budget.begin(other);
    assert_eq!(budget.reserve(third, 150), Reserve::Granted);
}

#[test]
fn a_body_begun_after_its_account_has_gone_still_counts() {
    let mut budget = Budget::new(100);
    let account = budget.open_account(100);
    budget.close_account(account);
    let body = budget.begin(account);
    assert_eq!(budget.reserve(body, 30), Reserve::Granted);
    assert_eq!((budget.used(), budget.account_used(account)), (30, 0));
    budget.release(body);
    assert_eq!((budget.used(), budget.accounts.len()), (0, 0));
}

#[test]
fn the_oldest_half_read_body_goes_on_when_all_wait() {
    let mut budget = Budget::new(100);
    let accounts = [budget.open_account(100), budget.open_account(100)];
    let bodies = accounts.map(|account| budget.begin(account));
    assert_eq!(budget.reserve(bodies[0], 25), Reserve::Granted);
    assert_eq!(budget.reserve(bodies[1], 25), Reserve::Granted);
    // Both halves are read and the half of the node is full. The first to ask is privileged.
    assert_eq!(budget.reserve(bodies[1], 60), Reserve::Waiting);
    assert_eq!(budget.next_granted(), Some(bodies[1]));
    assert_eq!(budget.reserve(bodies[0], 60), Reserve::Waiting);
    assert_eq!(budget.next_granted(), None);
    assert_eq!(budget.used(), 110);
    budget.complete(bodies[1]);
    assert_eq!(budget.next_granted(), None, "the node is over its limit");
    budget.release(bodies[1]);
    assert_eq!(budget.next_granted(), Some(bodies[0]));
}

#[test]
fn many_waiting_bodies_are_served_from_the_oldest() {
    let mut budget = Budget::new(1000);
    let keys: Vec<_> = (0..20_000)
        .map(|_| {
            let account = budget.open_account(2000);
            let body = budget.begin(account);
            assert_eq!(budget.reserve(body, 600), Reserve::Waiting);
            body
        })
        .collect();
    for expected in keys {
        // More than half the node each: only the privilege lets one pass.
        assert_eq!(budget.next_granted(), Some(expected));
        assert_eq!(budget.next_granted(), None);
        budget.complete(expected);
        budget.release(expected);
    }
    assert_eq!(budget.used(), 0);
}
