//! The absolute schedule: slots at t0 + k/rate, none lost by a late wake-up, none saved up.

use std::time::Duration;

use super::world::{NO_LIMITS, Phase, World, lane, origin};

fn submit_many(world: &mut World, count: usize) {
    for _ in 0..count {
        world.submit((0, 0, 0), 1, false);
    }
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn dispatches_stand_exactly_an_interval_apart() {
    let mut world = World::new(&[lane(1000, 100)], &[origin(1000, 0)], &[NO_LIMITS]);
    let start = world.now;
    submit_many(&mut world, 50);
    world.punctual = true;
    for k in 0..50u32 {
        assert_eq!(world.started.len(), k as usize + 1);
        let next = (k < 49).then(|| start + ms(10) * (k + 1));
        assert_eq!(world.machine.next_deadline().filter(|_| k < 49), next);
        world.pass(ms(10));
    }
    world.drain();
}

#[test]
fn a_late_wake_up_releases_all_that_are_due() {
    let mut world = World::new(&[lane(1000, 1000)], &[origin(1000, 0)], &[NO_LIMITS]);
    let start = world.now;
    submit_many(&mut world, 100);
    world.jump_to(start + Duration::from_micros(7_500));
    assert_eq!(world.started.len(), 8);
    assert_eq!(world.machine.next_deadline(), Some(start + ms(8)));
    world.jump_to(start + ms(20));
    assert_eq!(world.started.len(), 21);
    world.drain();
}

#[test]
fn two_paces_that_are_both_late_lose_nothing() {
    let mut world = World::new(&[lane(1000, 1000)], &[origin(1000, 1000)], &[NO_LIMITS]);
    let start = world.now;
    submit_many(&mut world, 100);
    for wake in 1..=10 {
        world.jump_to(start + Duration::from_micros(4_300) * wake);
    }
    assert_eq!(world.started.len(), 44);
    world.drain();
}

#[test]
fn a_queue_that_runs_dry_at_each_wake_up_keeps_the_rate() {
    let mut world = World::new(&[lane(1000, 1000)], &[origin(1000, 0)], &[NO_LIMITS]);
    let start = world.now;
    submit_many(&mut world, 1);
    for k in 1..=50u32 {
        submit_many(&mut world, 1);
        world.jump_to(start + ms(1) * k + Duration::from_micros(900));
        assert_eq!(world.started.len(), k as usize + 1);
        assert_eq!(world.waiting(|_| true), 0);
    }
    world.drain();
}

#[test]
fn nothing_is_saved_up_while_nobody_waits() {
    let mut world = World::new(&[lane(1000, 10)], &[origin(1000, 0)], &[NO_LIMITS]);
    submit_many(&mut world, 1);
    world.jump_to(world.now + Duration::from_secs(10));
    submit_many(&mut world, 5);
    assert_eq!(world.started.len(), 2);
    world.drain();
}

#[test]
fn nothing_is_saved_up_while_permits_are_what_is_short() {
    let mut world = World::new(&[lane(2, 10)], &[origin(1000, 0)], &[NO_LIMITS]);
    submit_many(&mut world, 10);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.started.len(), 2);
    world.finish(0);
    world.finish(0);
    assert_eq!(world.started.len(), 3);
    world.drain();
}

#[test]
fn retry_after_stops_one_origin_and_no_other() {
    let origins = [origin(10, 0), origin(10, 0)];
    let mut world = World::new(&[lane(1000, 0)], &origins, &[NO_LIMITS]);
    let start = world.now;
    world.slow(0, ms(300));
    world.slow(0, ms(100));
    submit_many(&mut world, 3);
    world.submit((0, 1, 0), 1, false);
    assert_eq!(world.held(|path| path.1 == 1).0, 1);
    assert_eq!(world.machine.next_deadline(), Some(start + ms(300)));
    world.pass(ms(299));
    assert_eq!(world.waiting(|path| path.1 == 0), 3);
    let idle = world.origins[0];
    assert!(!world.machine.forget_origin(idle, world.now));
    world.pass(ms(1));
    assert!(world.tracks.iter().all(|track| track.phase == Phase::Held));
    world.drain();
}
