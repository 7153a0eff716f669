//! Tests the machine without a clock: order, origins that hold up no others, bounds, causes.

use std::collections::VecDeque;

use super::*;
use crate::pace::{Hints, Refusal};

const NO_LIMITS: OriginLimits = OriginLimits {
    rate: None,
    concurrency: usize::MAX,
};

/// An item with its place in the input, and its place in a chain.
struct Item {
    index: u64,
    depth: u32,
    origin: String,
}

impl Dispatchable for Item {
    fn origin(&self) -> &str {
        &self.origin
    }

    fn weight(&self) -> usize {
        560
    }

    fn continues(&self) -> bool {
        self.depth > 0
    }
}

fn at_depth(index: u64, depth: u32, host: &str) -> Box<Pending<Item>> {
    let origin = format!("http://{host}");
    Pending::new(Item {
        index,
        depth,
        origin,
    })
}

fn item(index: u64, host: &str) -> Box<Pending<Item>> {
    at_depth(index, 0, host)
}

fn dispatch(rate: Option<Rate>, concurrency: usize, chains: bool) -> Dispatch<Item> {
    Dispatch::new(DispatchConfig {
        rate,
        concurrency,
        adaptive: false,
        chains,
    })
}

fn per_second(count: u32) -> Rate {
    Rate {
        count,
        window: Duration::from_secs(1),
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A response of 429 with `Retry-After`, in seconds.
fn refused(wait: u64) -> AttemptEnd {
    AttemptEnd::Response {
        hints: Hints {
            refused: Some(Refusal::TooMany),
            wait: Some(Duration::from_secs(wait)),
            left: None,
            cap: Duration::from_secs(60),
        },
        latency: None,
    }
}

#[test]
fn items_go_in_input_order_at_the_slots() {
    let mut dispatch = dispatch(Some(per_second(1_000)), 100, false);
    for index in 0..5 {
        dispatch.handle_item(item(index, "a"), ms(0), |_| NO_LIMITS);
    }
    let mut taken = Vec::new();
    for now in 0..10 {
        if let Some(it) = dispatch.take_due(ms(now)) {
            taken.push((it.item.index, it.scheduled));
            assert!(dispatch.take_due(ms(now)).is_none());
        }
    }
    let expected: Vec<_> = (0..5).map(|k| (k, Some(ms(k)))).collect();
    assert_eq!(taken, expected);
}

#[test]
fn a_slowed_origin_holds_nobody_up() {
    let mut dispatch = dispatch(None, 1_000, false);
    for index in 0..20 {
        let host = if index % 2 == 0 { "slow" } else { "free" };
        dispatch.handle_item(item(index, host), ms(0), |_| NO_LIMITS);
    }
    let first = dispatch.take_due(ms(0)).expect("it is due");
    dispatch.handle_end(&first, Some(ms(0)), &refused(2), ms(1));
    let mut free = Vec::new();
    while let Some(it) = dispatch.take_due(ms(2)) {
        free.push(it.item.index);
    }
    assert_eq!(free, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
    assert_eq!((dispatch.aside(), dispatch.next_at()), (9, Some(ms(2_001))));
    // When it may be sent to again, its own go on in their order, paced.
    let next = dispatch.take_due(ms(2_001)).expect("the wait is over");
    assert_eq!(next.item.index, 2);
    assert!(dispatch.take_due(ms(2_001)).is_none());
    assert!(dispatch.next_at().is_some_and(|at| at > ms(2_001)));
}

#[test]
fn a_configured_limit_of_an_origin_is_kept_here() {
    let mut dispatch = dispatch(None, 1_000, false);
    let limits = OriginLimits {
        rate: None,
        concurrency: 2,
    };
    for index in 0..5 {
        dispatch.handle_item(item(index, "narrow"), ms(0), |_| limits);
    }
    dispatch.handle_item(item(5, "wide"), ms(0), |_| NO_LIMITS);
    let taken: Vec<_> = std::iter::from_fn(|| dispatch.take_due(ms(0))).collect();
    let indexes: Vec<_> = taken.iter().map(|it| it.item.index).collect();
    assert_eq!(indexes, [0, 1, 5]);
    assert_eq!(dispatch.next_at(), None);
    dispatch.handle_outcome(taken[0].origin, ms(1));
    assert_eq!(dispatch.take_due(ms(1)).map(|it| it.item.index), Some(2));
}

#[test]
fn what_is_sent_again_takes_a_slot_and_comes_first_at_its_origin() {
    let mut dispatch = dispatch(Some(per_second(100)), 1_000, false);
    for index in 0..3 {
        dispatch.handle_item(item(index, "a"), ms(0), |_| NO_LIMITS);
    }
    let first = dispatch.take_due(ms(0)).expect("it is due");
    dispatch.handle_retry(first, ms(1), ms(12));
    assert_eq!(dispatch.take_due(ms(10)).map(|it| it.item.index), Some(1));
    assert!(dispatch.take_due(ms(15)).is_none());
    let again = dispatch.take_due(ms(20)).expect("its slot");
    assert_eq!(
        (again.item.index, again.tries, again.scheduled),
        (0, 2, Some(ms(0)))
    );
    assert_eq!(dispatch.take_due(ms(30)).map(|it| it.item.index), Some(2));
}

#[test]
fn what_was_refused_goes_before_what_waits_for_the_same_origin() {
    let mut dispatch = dispatch(None, 1_000, false);
    for index in 0..3 {
        dispatch.handle_item(item(index, "a"), ms(0), |_| NO_LIMITS);
    }
    let first = dispatch.take_due(ms(0)).expect("it is due");
    dispatch.handle_end(&first, Some(ms(0)), &refused(2), ms(1));
    assert!(dispatch.take_due(ms(1)).is_none(), "the others wait aside");
    dispatch.handle_retry(first, ms(1), ms(100));
    assert!(dispatch.take_due(ms(100)).is_none());
    assert_eq!(
        dispatch.take_due(ms(2_001)).map(|it| it.item.index),
        Some(0)
    );
}

#[test]
fn what_is_set_aside_is_bounded_and_the_head_waits_for_its_own_origin_only() {
    let mut dispatch = dispatch(None, usize::MAX, false);
    dispatch.handle_item(item(0, "slow"), ms(0), |_| NO_LIMITS);
    let first = dispatch.take_due(ms(0)).expect("it is due");
    dispatch.handle_end(&first, Some(ms(0)), &refused(60), ms(0));
    let mut index = 1;
    while dispatch.aside() < MAX_ASIDE {
        dispatch.handle_item(item(index, "slow"), ms(0), |_| NO_LIMITS);
        assert!(dispatch.take_due(ms(1)).is_none());
        index += 1;
    }
    // No further one of it is set aside; the reader finds no room in the end.
    while dispatch.room() > 0 {
        dispatch.handle_item(item(index, "slow"), ms(0), |_| NO_LIMITS);
        assert!(dispatch.take_due(ms(1)).is_none());
        index += 1;
    }
    assert_eq!(dispatch.aside(), MAX_ASIDE);
    assert_eq!(dispatch.next_at(), Some(ms(60_000)));
    assert!(dispatch.take_due(ms(60_000)).is_some());
    dispatch.handle_stop();
    assert_eq!((dispatch.aside(), dispatch.is_over()), (0, false));
}

#[test]
fn the_cause_of_a_slip_is_told() {
    let mut dispatch = dispatch(Some(per_second(1_000)), 1, false);
    let slip = |dispatch: &Dispatch<Item>, cause: Cause| dispatch.slips()[cause as usize];
    dispatch.handle_item(item(0, "a"), ms(0), |_| NO_LIMITS);
    let first = dispatch.take_due(ms(0)).expect("it is due");
    dispatch.handle_item(item(1, "a"), ms(0), |_| NO_LIMITS);
    dispatch.handle_outcome(first.origin, ms(1_001));
    assert!(dispatch.take_due(ms(1_001)).is_none(), "its place is kept");
    dispatch.handle_taken(1, ms(1_001));
    let second = dispatch.take_due(ms(1_001)).expect("it is due");
    assert_eq!(slip(&dispatch, Cause::Concurrency), ms(900));
    dispatch.handle_outcome(second.origin, ms(1_001));
    dispatch.handle_taken(1, ms(1_001));
    dispatch.handle_item(item(2, "a"), ms(2_002), |_| NO_LIMITS);
    let third = dispatch.take_due(ms(2_002)).expect("it is due");
    assert_eq!(slip(&dispatch, Cause::Input), ms(1_000));
    dispatch.handle_item(item(3, "a"), ms(2_002), |_| NO_LIMITS);
    dispatch.handle_outcome(third.origin, ms(2_003));
    dispatch.handle_taken(1, ms(3_003));
    assert!(dispatch.take_due(ms(3_003)).is_some());
    assert_eq!(slip(&dispatch, Cause::Output), ms(1_000));
    assert_eq!(dispatch.untaken_time(ms(4_000)), ms(1_000));
}

/// The page that follows an item.
fn page(of: &Pending<Item>, host: &str) -> Box<Pending<Item>> {
    at_depth(of.item.index, of.item.depth + 1, host)
}

#[test]
fn pages_take_slots_before_what_is_ready() {
    let mut dispatch = dispatch(Some(per_second(100)), 1_000, true);
    for index in 0..4 {
        dispatch.handle_item(item(index, "a"), ms(0), |_| NO_LIMITS);
    }
    let mut in_flight: VecDeque<Box<Pending<Item>>> = VecDeque::new();
    let mut taken = Vec::new();
    for now in (0..100).step_by(10) {
        // Answers come two at a time, and so do pages.
        if now % 20 == 0 {
            for of in in_flight.drain(..) {
                if of.item.depth < 1 {
                    dispatch.handle_follow_up(page(&of, "b"), ms(now), |_| NO_LIMITS);
                    assert_eq!(dispatch.next_at(), Some(ms(now)));
                }
                dispatch.handle_outcome(of.origin, ms(now));
            }
        }
        assert!(!dispatch.is_over());
        if let Some(it) = dispatch.take_due(ms(now)) {
            assert_eq!(it.scheduled, Some(ms(now)));
            taken.push((it.item.index, it.item.depth));
            in_flight.push_back(it);
        }
    }
    let expected = [
        (0, 0),
        (1, 0),
        (0, 1),
        (1, 1),
        (2, 0),
        (3, 0),
        (2, 1),
        (3, 1),
    ];
    let sorted = |of: &[(u64, u32)]| {
        let mut of: Vec<Vec<_>> = of.chunks(2).map(<[_]>::to_vec).collect();
        of.iter_mut().for_each(|pair| pair.sort_unstable());
        of
    };
    // Of two that wait, the last goes first.
    assert_eq!(sorted(&taken), sorted(&expected));
    dispatch.handle_input_end();
    assert!(dispatch.is_over());
}

#[test]
fn no_chain_is_begun_while_as_many_pages_wait_as_may() {
    let mut dispatch = dispatch(None, usize::MAX, true);
    dispatch.handle_item(item(0, "slow"), ms(0), |_| NO_LIMITS);
    let first = dispatch.take_due(ms(0)).expect("it is due");
    dispatch.handle_end(&first, Some(ms(0)), &refused(60), ms(0));
    let mut index = 1;
    while dispatch.aside() < MAX_ASIDE {
        dispatch.handle_item(item(index, "free"), ms(0), |_| NO_LIMITS);
        let free = dispatch.take_due(ms(1)).expect("its origin is free");
        dispatch.handle_follow_up(page(&free, "slow"), ms(1), |_| NO_LIMITS);
        dispatch.handle_outcome(free.origin, ms(1));
        index += 1;
    }
    dispatch.handle_item(item(index, "free"), ms(1), |_| NO_LIMITS);
    assert!(dispatch.take_due(ms(2)).is_none());
    assert_eq!(dispatch.next_at(), Some(ms(60_000)));
    let slow = dispatch.take_due(ms(60_000)).expect("the wait is over");
    assert_eq!(slow.item.depth, 1);
    let free = dispatch.take_due(ms(60_000)).expect("there is room");
    assert_eq!((free.item.index, free.item.depth), (index, 0));
    // Stopped, it takes up nothing new.
    dispatch.handle_stop();
    dispatch.handle_follow_up(page(&free, "slow"), ms(60_001), |_| NO_LIMITS);
    assert_eq!(dispatch.aside(), 0);
}
