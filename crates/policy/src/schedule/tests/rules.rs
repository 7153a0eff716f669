//! One rule at a time, by example.

use std::time::Duration;

use super::super::{AccountLimits, Event, Submission, Submitted};
use super::world::{NO_LIMITS, Phase, World, lane, origin};
use crate::error::{ErrorName, FetchError};
use crate::lane::QueueBounds;

/// A world with one lane and one origin of these permits, and this many accounts.
fn plain(lane_permits: usize, origin_permits: usize, accounts: usize) -> World {
    World::new(
        &[lane(lane_permits, 0)],
        &[origin(origin_permits, 0)],
        &vec![NO_LIMITS; accounts],
    )
}

fn submit_many(world: &mut World, account: usize, count: usize) {
    for _ in 0..count {
        assert!(world.submit((0, 0, account), 1, false));
    }
}

/// The reader of the first account stops, or goes on.
fn stall(world: &mut World, stalled: bool) {
    for index in 0..world.tracks.len() {
        if world.tracks[index].path.2 == 0 {
            world.pause(index, stalled);
        }
    }
}

fn refusal(world: &mut World, path: (usize, usize, usize), bytes: usize) -> FetchError {
    let request = Submission {
        lane: path.0,
        origin: world.origins[path.1],
        account: world.accounts[path.2].0,
        bytes,
        repeated: false,
    };
    match world.machine.submit(world.now, &request) {
        Submitted::Refused(error) => error,
        answer => panic!("not refused: {answer:?}"),
    }
}

#[test]
fn a_account_alone_has_the_whole_limit_and_no_more() {
    let mut world = plain(6, 100, 1);
    submit_many(&mut world, 0, 50);
    assert_eq!(world.held(|_| true), (6, 0));
    assert_eq!(world.machine.lane_stats(0).queued, 44);
    // Its own stalled readers lend it nothing.
    stall(&mut world, true);
    assert_eq!(world.held(|_| true), (6, 6));
    stall(&mut world, false);
    world.drain();
}

#[test]
fn a_stalled_reader_with_all_permits_stops_nobody() {
    let mut world = plain(16, 16, 2);
    submit_many(&mut world, 0, 100);
    submit_many(&mut world, 1, 100);
    assert_eq!(world.held(|path| path.2 == 1), (0, 0));
    stall(&mut world, true);
    assert_eq!(world.held(|path| path.2 == 1), (2, 0), "an eighth is lent");
    for _ in 0..98 {
        let done = world.tracks.iter().position(|t| t.phase == Phase::Held);
        world.finish(done.expect("the other account goes on"));
    }
    assert_eq!(world.held(|path| path.2 == 1), (2, 0));
    // When the reader goes on, the overdraft is repaid first.
    stall(&mut world, false);
    world.finish(0);
    world.finish(0);
    assert_eq!(world.held(|_| true).0, 16);
    world.finish(0);
    assert_eq!(world.held(|_| true).0, 16);
    world.drain();
}

#[test]
fn permits_even_out_when_a_second_account_arrives() {
    let mut world = plain(1000, 10, 2);
    submit_many(&mut world, 0, 200);
    submit_many(&mut world, 1, 20);
    for _ in 0..5 {
        let done = world.tracks.iter().position(|t| t.phase == Phase::Held);
        world.finish(done.expect("ten are in progress"));
    }
    assert_eq!(world.held(|path| path.2 == 1).0, 5);
    world.drain();
}

#[test]
fn a_full_origin_does_not_block_its_lane() {
    let origins = [origin(1, 0), origin(100, 0)];
    let mut world = World::new(&[lane(4, 0)], &origins, &[NO_LIMITS]);
    submit_many(&mut world, 0, 10);
    for _ in 0..3 {
        world.submit((0, 1, 0), 1, false);
    }
    assert_eq!(world.held(|path| path.1 == 0).0, 1);
    assert_eq!(world.held(|path| path.1 == 1).0, 3);
    world.drain();
}

#[test]
fn a_slow_lane_holds_no_permit_of_an_origin() {
    let mut world = World::new(&[lane(100, 1), lane(100, 0)], &[origin(4, 0)], &[NO_LIMITS]);
    submit_many(&mut world, 0, 10);
    for _ in 0..3 {
        world.submit((1, 0, 0), 1, false);
    }
    assert_eq!(world.held(|path| path.0 == 0).0, 1);
    assert_eq!(world.held(|path| path.0 == 1).0, 3);
    world.drain();
}

#[test]
fn the_flows_of_a_account_take_turns() {
    let origins = [origin(10, 0), origin(10, 0), origin(10, 0)];
    let mut world = World::new(&[lane(1, 0)], &origins, &[NO_LIMITS]);
    for at in [0, 0, 0, 1, 1, 2] {
        world.submit((0, at, 0), 1, false);
    }
    let mut order = Vec::new();
    while let Some(at) = world.tracks.iter().position(|t| t.phase == Phase::Held) {
        order.push(world.tracks[at].path.1);
        world.finish(at);
    }
    assert_eq!(order, [0, 0, 1, 2, 0, 1]);
}

#[test]
fn a_account_at_its_own_limit_leaves_the_rest_to_others() {
    let few = AccountLimits {
        in_flight: 2,
        ..NO_LIMITS
    };
    let mut world = World::new(&[lane(5, 0)], &[origin(5, 0)], &[few, NO_LIMITS]);
    submit_many(&mut world, 0, 10);
    submit_many(&mut world, 1, 10);
    assert_eq!(world.held(|path| path.2 == 0).0, 2);
    assert_eq!(world.held(|path| path.2 == 1).0, 3);
    world.drain();
}

#[test]
fn a_retry_is_never_refused_and_goes_first() {
    let mut config = lane(1, 0);
    config.queue.count = 2;
    let mut world = World::new(&[config], &[origin(9, 0)], &[NO_LIMITS, NO_LIMITS]);
    submit_many(&mut world, 0, 2);
    submit_many(&mut world, 1, 1);
    assert!(world.submit((0, 0, 0), 1, true), "beyond the bound");
    assert!(world.submit((0, 0, 0), 1, true), "beyond the bound");
    // The model checks the order: first retry, second retry, then who came first.
    world.drain();
}

#[test]
fn refusals_name_the_bound() {
    let mut config = lane(1, 0);
    config.queue = QueueBounds {
        count: 8,
        bytes: 100,
        ..config.queue
    };
    let small = AccountLimits {
        queued: 2,
        queued_bytes: 10,
        ..NO_LIMITS
    };
    let mut world = World::new(&[config], &[origin(9, 0)], &[NO_LIMITS, small]);
    submit_many(&mut world, 0, 5);
    let share = refusal(&mut world, (0, 0, 0), 1);
    assert_eq!(share.name, ErrorName::QueueFull);
    assert!(share.detail.contains("fair share"), "{share}");
    let bytes = refusal(&mut world, (0, 0, 1), 11);
    assert!(bytes.detail.contains("limit of 10 bytes"), "{bytes}");
    submit_many(&mut world, 1, 2);
    let count = refusal(&mut world, (0, 0, 1), 1);
    assert!(count.detail.contains("limit of 2 fetches"), "{count}");
    let lane_bytes = refusal(&mut world, (0, 0, 0), 95);
    assert!(lane_bytes.detail.contains("lane's queue"), "{lane_bytes}");
    world.drain();
}

#[test]
fn there_is_room_for_newcomers_while_any_place_is_free() {
    let mut config = lane(1, 0);
    config.queue.count = 16;
    let mut world = World::new(&[config], &[origin(9, 0)], &[NO_LIMITS; 12]);
    let mut got = Vec::new();
    for account in 0..12 {
        let mut count = 0;
        while count < 16 && world.submit((0, 0, account), 1, false) {
            count += 1;
        }
        got.push(count);
    }
    // The first account also has the one permit.
    assert_eq!(got, [9, 4, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
    world.drain();
}

#[test]
fn a_wait_that_is_over_is_told_and_never_granted() {
    let mut config = lane(1, 1);
    config.queue.wait = Duration::from_millis(500);
    let mut world = World::new(&[config], &[origin(9, 0)], &[NO_LIMITS]);
    submit_many(&mut world, 0, 2);
    world.finish(0);
    // At the wake-up the slot is due too, but the wait was over before.
    world.jump_to(world.now + Duration::from_secs(2));
    assert_eq!(world.tracks[0].phase, Phase::Expired);
    world.drain();
}

#[test]
fn a_finished_ticket_gets_no_event() {
    let mut world = plain(1, 1, 1);
    submit_many(&mut world, 0, 2);
    let [first, second] = [world.tracks[0].ticket, world.tracks[1].ticket];
    world.machine.finish(first, world.now);
    world.machine.finish(second, world.now);
    assert_eq!(world.machine.next_event(), None::<Event>);
    world.machine.check_empty();
}

#[test]
fn ids_that_are_gone_are_refused() {
    let mut world = plain(1, 1, 2);
    submit_many(&mut world, 0, 1);
    let (now, origin) = (world.now, world.origins[0]);
    let account = world.accounts[0].0;
    assert!(!world.machine.forget_origin(origin, now), "it is in use");
    world.machine.close_account(account);
    assert_eq!(world.machine.account_stats(account).in_flight, 1);
    let closed = refusal(&mut world, (0, 0, 0), 1);
    assert_eq!(closed.name, ErrorName::Cancelled);
    world.finish(0);
    assert_eq!(world.machine.account_stats(account).in_flight, 0);
    assert!(world.machine.forget_origin(origin, now));
    assert_eq!(world.machine.origins(), 0);
    let forgotten = refusal(&mut world, (0, 0, 1), 1);
    assert_eq!(forgotten.name, ErrorName::ProxyInternalError);
}
