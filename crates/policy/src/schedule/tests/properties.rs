//! Any interleaving of events, judged by the naive model after each.

use std::time::Duration;

use proptest::prelude::*;

use super::super::AccountLimits;
use super::world::{World, lane, origin};
use crate::lane::{LaneConfig, OriginLimits};

#[derive(Clone, Debug)]
enum Op {
    Submit {
        lane: usize,
        origin: usize,
        account: usize,
        bytes: usize,
        repeated: bool,
    },
    Finish(usize),
    Pause(usize),
    Resume(usize),
    Slow(usize, u64),
    Pass(u64),
    Jump(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let submit = (
        0..2usize,
        0..3usize,
        0..4usize,
        0..30usize,
        prop::bool::weighted(0.1),
    );
    let submit = submit.prop_map(|(lane, origin, account, bytes, repeated)| Op::Submit {
        lane,
        origin,
        account,
        bytes,
        repeated,
    });
    prop_oneof![
        10 => submit,
        6 => any::<usize>().prop_map(Op::Finish),
        2 => any::<usize>().prop_map(Op::Pause),
        2 => any::<usize>().prop_map(Op::Resume),
        1 => (0..3usize, 0..500u64).prop_map(|(origin, ms)| Op::Slow(origin, ms)),
        2 => (0..400u64).prop_map(Op::Pass),
        1 => (0..2000u64).prop_map(Op::Jump),
    ]
}

fn some_lane() -> impl Strategy<Value = LaneConfig> {
    let rate = prop_oneof![2 => Just(0), 1 => 1..40u32];
    let queue = (1..20usize, 1..200usize, 1..3000u64);
    (1..10usize, rate, queue).prop_map(|(concurrency, rate, (count, bytes, wait))| {
        let mut lane = lane(concurrency, rate);
        lane.queue.count = count;
        lane.queue.bytes = bytes;
        lane.queue.wait = Duration::from_millis(wait);
        lane
    })
}

fn some_origin() -> impl Strategy<Value = OriginLimits> {
    let rate = prop_oneof![2 => Just(0), 1 => 1..40u32];
    (1..10usize, rate).prop_map(|(concurrency, rate)| origin(concurrency, rate))
}

fn some_account() -> impl Strategy<Value = AccountLimits> {
    (1..10usize, 1..12usize, 1..200usize).prop_map(|(in_flight, queued, queued_bytes)| {
        AccountLimits {
            in_flight,
            queued,
            queued_bytes,
        }
    })
}

fn apply(world: &mut World, op: &Op) {
    let pick = |index: usize, world: &World| {
        (!world.tracks.is_empty()).then(|| index % world.tracks.len())
    };
    match *op {
        Op::Submit {
            lane,
            origin,
            account,
            bytes,
            repeated,
        } => {
            world.submit((lane, origin, account), bytes, repeated);
        }
        Op::Finish(index) => {
            if let Some(index) = pick(index, world) {
                world.finish(index);
            }
        }
        Op::Pause(index) => {
            if let Some(index) = pick(index, world) {
                world.pause(index, true);
            }
        }
        Op::Resume(index) => {
            if let Some(index) = pick(index, world) {
                world.pause(index, false);
            }
        }
        Op::Slow(origin, ms) => world.slow(origin, Duration::from_millis(ms)),
        Op::Pass(ms) => world.pass(Duration::from_millis(ms)),
        Op::Jump(ms) if world.punctual => world.pass(Duration::from_millis(ms)),
        Op::Jump(ms) => world.jump_to(world.now + Duration::from_millis(ms)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Limits, pace, order, bounds and liveness hold whatever happens, and all counts end at zero.
    #[test]
    fn any_interleaving_keeps_the_rules(
        lanes in prop::collection::vec(some_lane(), 2),
        origins in prop::collection::vec(some_origin(), 3),
        accounts in prop::collection::vec(some_account(), 4),
        punctual in any::<bool>(),
        ops in prop::collection::vec(op(), 1..150),
    ) {
        let mut world = World::new(&lanes, &origins, &accounts);
        world.punctual = punctual;
        for op in &ops {
            apply(&mut world, op);
        }
        world.drain();
    }
}
