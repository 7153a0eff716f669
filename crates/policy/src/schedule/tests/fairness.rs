//! Accounts share: who is served next, and what that comes to in the long run.

use std::time::Duration;

use proptest::prelude::*;

use super::super::AccountLimits;
use super::world::{NO_LIMITS, Phase, World, lane, origin};

/// Ends one fetch; the one that starts instead must be of the account with the fewest in progress
/// among those that wait. With one gate that is short this holds exactly.
fn finish_and_judge(world: &mut World, index: usize) {
    let queued = world.tracks[index].phase == Phase::Queued;
    let ended = world.tracks[index].path.2;
    let before: Vec<(usize, usize)> = (0..world.accounts.len())
        .map(|account| {
            let held = world.held(|path| path.2 == account).0;
            let gone = usize::from(account == ended && !queued);
            (held - gone, world.waiting(|path| path.2 == account))
        })
        .collect();
    let started = world.started.len();
    world.finish(index);
    let waiting = before.iter().filter(|(_, waiting)| *waiting > 0);
    let fewest = waiting.map(|(held, _)| *held).min();
    if let Some(account) = world.started.get(started) {
        assert_eq!(Some(before[*account].0), fewest);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// The permit that frees goes to the waiting account with the fewest, at lanes and origins.
    #[test]
    fn the_fewest_permits_are_served_first(
        permits in 1..8usize,
        at_origin in any::<bool>(),
        ops in prop::collection::vec((any::<bool>(), any::<usize>()), 1..200),
    ) {
        let (lanes, origins) = if at_origin { (100, permits) } else { (permits, 100) };
        let mut world = World::new(&[lane(lanes, 0)], &[origin(origins, 0)], &[NO_LIMITS; 4]);
        for (submit, pick) in ops {
            if submit || world.tracks.is_empty() {
                world.submit((0, 0, pick % 4), 1, false);
            } else {
                let index = pick % world.tracks.len();
                finish_and_judge(&mut world, index);
            }
        }
        world.drain();
    }

    /// Accounts that always wait, one with far more: their shares differ by a bounded amount, also
    /// where a lane's pace and an origin's permits are short in turn.
    #[test]
    fn accounts_that_always_wait_get_equal_shares(
        rate in prop_oneof![Just(0u32), 20..200u32],
        permits in (1..9usize, 1..9usize),
        oldest in 1..3usize,
        seed in any::<u64>(),
    ) {
        let origins = [origin(permits.1, 0); 2];
        let mut world = World::new(&[lane(permits.0, rate)], &origins, &[NO_LIMITS; 3]);
        keep_busy(&mut world, &[20, 2, 2], oldest, seed);
        let shares = (0..3).map(|account| world.started.iter().filter(|s| **s == account).count());
        let shares: Vec<usize> = shares.collect();
        let (most, least) = (shares.iter().max(), shares.iter().min());
        let apart = most.copied().unwrap_or(0) - least.copied().unwrap_or(0);
        // Of 300; which of the oldest ends is random.
        prop_assert!(apart <= 40, "{shares:?}");
    }
}

/// 300 rounds in which every account has its backlog at each origin. Fetches take about equally
/// long: one of the `oldest` in progress ends in each round.
fn keep_busy(world: &mut World, backlog: &[usize], oldest: usize, mut seed: u64) {
    for _ in 0..300 {
        for (account, backlog) in backlog.iter().enumerate() {
            for origin in 0..world.origins.len() {
                let path = (0, origin, account);
                while world.waiting(|p| p == path) < *backlog {
                    world.submit(path, 1, false);
                }
            }
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        world.pass(Duration::from_millis((seed >> 50) % 20));
        let held = |at: &usize| world.tracks[*at].phase == Phase::Held;
        let mut held: Vec<usize> = (0..world.tracks.len()).filter(held).collect();
        held.sort_by_key(|at| world.tracks[*at].turn);
        if !held.is_empty() {
            let pick = (seed >> 33) as usize % held.len().min(oldest);
            world.finish(held[pick]);
        }
    }
}

/// Ends the oldest fetch in progress, `times` times.
fn finish_oldest(world: &mut World, times: usize) {
    for _ in 0..times {
        let held = (0..world.tracks.len()).filter(|at| world.tracks[*at].phase == Phase::Held);
        let oldest = held.min_by_key(|at| world.tracks[*at].turn);
        world.finish(oldest.expect("a fetch is in progress"));
    }
}

/// The first account fills a lane and an origin at once, so both open at the same moments. The
/// second waits at the origin by way of another lane.
#[test]
fn an_origin_full_by_one_lane_is_shared_with_another() {
    let mut world = World::new(&[lane(4, 0), lane(4, 0)], &[origin(4, 0)], &[NO_LIMITS; 2]);
    for _ in 0..50 {
        world.submit((0, 0, 0), 1, false);
        world.submit((1, 0, 1), 1, false);
    }
    finish_oldest(&mut world, 8);
    assert_eq!(world.held(|path| path.2 == 1).0, 2);
    world.drain();
}

/// The same, but the second account waits at the lane for another origin.
#[test]
fn a_lane_full_of_one_origin_is_shared_with_another() {
    let mut world = World::new(
        &[lane(4, 0)],
        &[origin(4, 0), origin(4, 0)],
        &[NO_LIMITS; 2],
    );
    for _ in 0..50 {
        world.submit((0, 0, 0), 1, false);
        world.submit((0, 1, 1), 1, false);
    }
    finish_oldest(&mut world, 8);
    assert_eq!(world.held(|path| path.2 == 1).0, 2);
    world.drain();
}

/// A lane's slot and an origin's fall due together, and flows wait at either.
#[test]
fn equal_paces_of_a_lane_and_an_origin_are_shared() {
    let lanes = [lane(100, 10), lane(100, 0)];
    let mut world = World::new(&lanes, &[origin(100, 10)], &[NO_LIMITS; 2]);
    for _ in 0..50 {
        world.submit((0, 0, 0), 1, false);
        world.submit((1, 0, 1), 1, false);
    }
    world.pass(Duration::from_secs(2));
    let second = world
        .started
        .iter()
        .filter(|account| **account == 1)
        .count();
    assert!((9..=12).contains(&second), "{:?}", world.started);
    world.drain();
}

/// An account at its own limit is passed over; when one of its fetches ends, it competes again for
/// the very permit that it gives back.
#[test]
fn a_account_at_its_own_limit_keeps_its_permits() {
    let few = AccountLimits {
        in_flight: 2,
        ..NO_LIMITS
    };
    let mut world = World::new(&[lane(6, 0)], &[origin(100, 0)], &[few, NO_LIMITS]);
    for _ in 0..30 {
        world.submit((0, 0, 0), 1, false);
        world.submit((0, 0, 1), 1, false);
    }
    for _ in 0..20 {
        assert_eq!(world.held(|path| path.2 == 0).0, 2);
        finish_oldest(&mut world, 1);
    }
    world.drain();
}
