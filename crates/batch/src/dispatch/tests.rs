//! The machine without a clock: order, origins that hold nobody up, bounds, causes.

use http::{HeaderMap, Method, StatusCode};

use super::*;
use crate::item::Request;

const NO_LIMITS: OriginLimits = OriginLimits {
    rate: None,
    concurrency: usize::MAX,
};

fn job(index: u64, host: &str) -> Box<Job> {
    let url = format!("http://{host}/{index}");
    let request = Request {
        method: Method::GET,
        url: url.parse().expect("a URL"),
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
        lane: None,
        timeouts: fetchway_policy::Timeouts::default(),
        redirect: fetchway_policy::redirect::RedirectMode::Follow,
        decode: true,
    };
    Job::new((index, 0), None, url, 0, request)
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

fn refused(wait: u64) -> Hints {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", wait.into());
    Hints::read(
        StatusCode::TOO_MANY_REQUESTS,
        &headers,
        Duration::from_secs(60),
    )
}

#[test]
fn items_go_in_input_order_at_the_slots() {
    let mut dispatch = Dispatch::new(Some(per_second(1_000)), 100);
    for index in 0..5 {
        dispatch.offer(job(index, "a"), ms(0), |_| NO_LIMITS);
    }
    let mut taken = Vec::new();
    for now in 0..10 {
        if let Some(job) = dispatch.take(ms(now)) {
            taken.push((job.index, job.scheduled));
            assert!(dispatch.take(ms(now)).is_none());
        }
    }
    let expected: Vec<_> = (0..5).map(|k| (k, Some(ms(k)))).collect();
    assert_eq!(taken, expected);
}

#[test]
fn a_slowed_origin_holds_nobody_up() {
    let mut dispatch = Dispatch::new(None, 1_000);
    for index in 0..20 {
        let host = if index % 2 == 0 { "slow" } else { "free" };
        dispatch.offer(job(index, host), ms(0), |_| NO_LIMITS);
    }
    let first = dispatch.take(ms(0)).expect("it is due");
    dispatch.answered(first.origin, ms(1), ms(0), &refused(2));
    let mut free = Vec::new();
    while let Some(job) = dispatch.take(ms(2)) {
        free.push(job.index);
    }
    assert_eq!(free, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
    assert_eq!((dispatch.aside(), dispatch.next_at()), (9, Some(ms(2_001))));
    // When it may be sent to again, its own go on in their order, paced.
    let next = dispatch.take(ms(2_001)).expect("the wait is over");
    assert_eq!(next.index, 2);
    assert!(dispatch.take(ms(2_001)).is_none());
    assert!(dispatch.next_at().is_some_and(|at| at > ms(2_001)));
}

#[test]
fn a_configured_limit_of_an_origin_is_kept_here() {
    let mut dispatch = Dispatch::new(None, 1_000);
    let limits = OriginLimits {
        rate: None,
        concurrency: 2,
    };
    for index in 0..5 {
        dispatch.offer(job(index, "narrow"), ms(0), |_| limits);
    }
    dispatch.offer(job(5, "wide"), ms(0), |_| NO_LIMITS);
    let taken: Vec<_> = std::iter::from_fn(|| dispatch.take(ms(0))).collect();
    let indexes: Vec<_> = taken.iter().map(|job| job.index).collect();
    assert_eq!(indexes, [0, 1, 5]);
    assert_eq!(dispatch.next_at(), None);
    dispatch.done(taken[0].origin, ms(1));
    assert_eq!(dispatch.take(ms(1)).map(|job| job.index), Some(2));
}

#[test]
fn what_is_sent_again_takes_a_slot_and_comes_first_at_its_origin() {
    let mut dispatch = Dispatch::new(Some(per_second(100)), 1_000);
    for index in 0..3 {
        dispatch.offer(job(index, "a"), ms(0), |_| NO_LIMITS);
    }
    let first = dispatch.take(ms(0)).expect("it is due");
    dispatch.again(first, ms(1), ms(12));
    assert_eq!(dispatch.take(ms(10)).map(|job| job.index), Some(1));
    assert!(dispatch.take(ms(15)).is_none());
    let again = dispatch.take(ms(20)).expect("its slot");
    assert_eq!(
        (again.index, again.tries, again.scheduled),
        (0, 2, Some(ms(0)))
    );
    assert_eq!(dispatch.take(ms(30)).map(|job| job.index), Some(2));
}

#[test]
fn what_was_refused_goes_before_what_waits_for_the_same_origin() {
    let mut dispatch = Dispatch::new(None, 1_000);
    for index in 0..3 {
        dispatch.offer(job(index, "a"), ms(0), |_| NO_LIMITS);
    }
    let first = dispatch.take(ms(0)).expect("it is due");
    dispatch.answered(first.origin, ms(1), ms(0), &refused(2));
    assert!(dispatch.take(ms(1)).is_none(), "the others wait aside");
    dispatch.again(first, ms(1), ms(100));
    assert!(dispatch.take(ms(100)).is_none());
    assert_eq!(dispatch.take(ms(2_001)).map(|job| job.index), Some(0));
}

#[test]
fn what_is_set_aside_is_bounded_and_the_head_waits_for_its_own_origin_only() {
    let mut dispatch = Dispatch::new(None, usize::MAX);
    dispatch.offer(job(0, "slow"), ms(0), |_| NO_LIMITS);
    let first = dispatch.take(ms(0)).expect("it is due");
    dispatch.answered(first.origin, ms(0), ms(0), &refused(60));
    let mut index = 1;
    while dispatch.aside() < MAX_ASIDE {
        dispatch.offer(job(index, "slow"), ms(0), |_| NO_LIMITS);
        assert!(dispatch.take(ms(1)).is_none());
        index += 1;
    }
    // No further one of it is set aside; the reader finds no room in the end.
    while dispatch.room() > 0 {
        dispatch.offer(job(index, "slow"), ms(0), |_| NO_LIMITS);
        assert!(dispatch.take(ms(1)).is_none());
        index += 1;
    }
    assert_eq!(dispatch.aside(), MAX_ASIDE);
    assert_eq!(dispatch.next_at(), Some(ms(60_000)));
    assert!(dispatch.take(ms(60_000)).is_some());
    dispatch.stop();
    assert_eq!((dispatch.aside(), dispatch.is_over()), (0, false));
}

#[test]
fn the_cause_of_a_slip_is_told() {
    let mut dispatch = Dispatch::new(Some(per_second(1_000)), 1);
    let slip = |dispatch: &Dispatch, cause: Cause| dispatch.slipped[cause as usize];
    dispatch.offer(job(0, "a"), ms(0), |_| NO_LIMITS);
    let first = dispatch.take(ms(0)).expect("it is due");
    dispatch.offer(job(1, "a"), ms(0), |_| NO_LIMITS);
    dispatch.done(first.origin, ms(1_001));
    assert!(dispatch.take(ms(1_001)).is_none(), "its place is kept");
    dispatch.taken(1, ms(1_001));
    let second = dispatch.take(ms(1_001)).expect("it is due");
    assert_eq!(slip(&dispatch, Cause::Concurrency), ms(900));
    dispatch.done(second.origin, ms(1_001));
    dispatch.taken(1, ms(1_001));
    dispatch.offer(job(2, "a"), ms(2_002), |_| NO_LIMITS);
    let third = dispatch.take(ms(2_002)).expect("it is due");
    assert_eq!(slip(&dispatch, Cause::Input), ms(1_000));
    dispatch.offer(job(3, "a"), ms(2_002), |_| NO_LIMITS);
    dispatch.done(third.origin, ms(2_003));
    dispatch.taken(1, ms(3_003));
    assert!(dispatch.take(ms(3_003)).is_some());
    assert_eq!(slip(&dispatch, Cause::Output), ms(1_000));
    assert_eq!(dispatch.untaken_time(ms(4_000)), ms(1_000));
}

/// The page that follows a job.
fn page(of: &Job, host: &str) -> Box<Job> {
    let mut page = job(of.index, host);
    page.depth = of.depth + 1;
    page
}

#[test]
fn pages_take_slots_before_what_is_ready() {
    let mut dispatch = Dispatch::new(Some(per_second(100)), 1_000);
    dispatch.follows = true;
    for index in 0..4 {
        dispatch.offer(job(index, "a"), ms(0), |_| NO_LIMITS);
    }
    let mut in_flight: VecDeque<Box<Job>> = VecDeque::new();
    let mut taken = Vec::new();
    for now in (0..100).step_by(10) {
        // Answers come two at a time, and so do pages.
        if now % 20 == 0 {
            for of in in_flight.drain(..) {
                if of.depth < 1 {
                    dispatch.follow(page(&of, "b"), ms(now), |_| NO_LIMITS);
                    assert_eq!(dispatch.next_at(), Some(ms(now)));
                }
                dispatch.done(of.origin, ms(now));
            }
        }
        assert!(!dispatch.is_over());
        if let Some(job) = dispatch.take(ms(now)) {
            assert_eq!(job.scheduled, Some(ms(now)));
            taken.push((job.index, job.depth));
            in_flight.push_back(job);
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
    dispatch.close();
    assert!(dispatch.is_over());
}

#[test]
fn no_chain_is_begun_while_as_many_pages_wait_as_may() {
    let mut dispatch = Dispatch::new(None, usize::MAX);
    dispatch.follows = true;
    dispatch.offer(job(0, "slow"), ms(0), |_| NO_LIMITS);
    let first = dispatch.take(ms(0)).expect("it is due");
    dispatch.answered(first.origin, ms(0), ms(0), &refused(60));
    let mut index = 1;
    while dispatch.aside() < MAX_ASIDE {
        dispatch.offer(job(index, "free"), ms(0), |_| NO_LIMITS);
        let free = dispatch.take(ms(1)).expect("its origin is free");
        dispatch.follow(page(&free, "slow"), ms(1), |_| NO_LIMITS);
        dispatch.done(free.origin, ms(1));
        index += 1;
    }
    dispatch.offer(job(index, "free"), ms(1), |_| NO_LIMITS);
    assert!(dispatch.take(ms(2)).is_none());
    assert_eq!(dispatch.next_at(), Some(ms(60_000)));
    let slow = dispatch.take(ms(60_000)).expect("the wait is over");
    assert_eq!(slow.depth, 1);
    let free = dispatch.take(ms(60_000)).expect("there is room");
    assert_eq!((free.index, free.depth), (index, 0));
    // Stopped, it takes up nothing new.
    dispatch.stop();
    dispatch.follow(page(&free, "slow"), ms(60_001), |_| NO_LIMITS);
    assert_eq!(dispatch.aside(), 0);
}
