//! Turns: concurrency until the end of the body, queues and their bounds, paces, Retry-After.

use std::time::{Duration, Instant};

use fetchway_fetch::{Account, AccountConfig, AccountLimits, DEFAULT_LANE, EngineConfig};
use fetchway_policy::{ErrorName, LaneConfig, OriginLimits, QueueBounds, Rate};
use fetchway_test_origins::TestOrigin;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http_body_util::BodyExt as _;

use crate::support::{PLENTY, Rig, config, data, get, soon, trusting_origin, with_lane};

/// What makes an engine trust an origin.
type Trusting = fn(EngineConfig, &TestOrigin) -> EngineConfig;

fn both_protocols() -> Vec<(TestOrigin, Trusting)> {
    vec![
        (TestOrigin::builder().start().unwrap(), |config, _| config),
        (
            TestOrigin::builder().tls().start().unwrap(),
            trusting_origin,
        ),
    ]
}

#[tokio::test]
async fn a_permit_is_held_until_the_body_ends() {
    for (origin, trusting) in both_protocols() {
        let rig = Rig::new(trusting(with_lane(|lane| lane.concurrency = 2), &origin));
        let mut bodies = Vec::new();
        for key in ["a", "b"] {
            let url = origin.url(&format!("/gate?key={key}&after=5&n=10"));
            let mut body = rig.fetch(get(&url)).await.unwrap().response.into_body();
            data(&mut body).await.unwrap().unwrap();
            bodies.push(body);
        }
        let mut third = Box::pin(rig.get(&origin.url("/echo")).map(Result::unwrap));
        assert!((&mut third).now_or_never().is_none());
        let lane = rig.engine.lane_stats()[0];
        assert_eq!((lane.in_flight, lane.queued), (2, 1));
        assert_eq!(
            origin.stats().requests,
            2,
            "headers have come, bodies have not ended"
        );
        // One ends, the other is dropped.
        origin.open_gate("a").unwrap();
        let first = bodies.remove(0);
        assert_eq!(soon(first.collect()).await.unwrap().to_bytes().len(), 5);
        soon(third).await;
        drop(bodies);
        rig.is_idle();
        rig.finish().await;
    }
}

#[tokio::test]
async fn origins_have_limits_of_their_own_whatever_the_lane() {
    let origins = [
        TestOrigin::builder().start().unwrap(),
        TestOrigin::builder().start().unwrap(),
    ];
    let mut limits = config();
    limits
        .lanes
        .push(("other".to_owned(), LaneConfig::default()));
    limits.origin_default.concurrency = 3;
    let rig = Rig::new(limits);
    let urls: Vec<String> = origins
        .iter()
        .map(|origin| origin.url("/delay?ms=20&req=1"))
        .collect();
    let other = rig.engine.lane(Some("other")).unwrap();
    assert_eq!(
        rig.engine.lane(None).unwrap(),
        rig.engine.lane(Some(DEFAULT_LANE)).unwrap()
    );
    assert_eq!(
        rig.engine.lane(Some("none")).unwrap_err().name,
        ErrorName::InvalidRequest
    );
    let fetches = (0..40).map(|n| {
        let mut request = get(&urls[n % 2]);
        request.lane = if n % 4 < 2 { 0 } else { other };
        rig.whole(request).map(Result::unwrap)
    });
    join_all(fetches).await;
    for origin in &origins {
        assert_eq!(
            (origin.stats().peak_in_flight, origin.stats().requests),
            (3, 20)
        );
    }
    rig.finish().await;
}

#[tokio::test]
async fn hosts_have_the_limits_of_the_first_pattern_that_matches() {
    let origin = TestOrigin::builder().start().unwrap();
    let one = OriginLimits {
        concurrency: 1,
        ..OriginLimits::default()
    };
    let mut limits = config();
    limits.origins = vec![
        ("localhost".parse().unwrap(), one),
        ("*.test".parse().unwrap(), OriginLimits::default()),
    ];
    let rig = Rig::new(limits);
    let url = origin.url_at("localhost", "/delay?ms=5&req=1");
    join_all((0..5).map(|_| rig.get(&url).map(Result::unwrap))).await;
    assert_eq!(origin.stats().peak_in_flight, 1);
    let url = origin.url("/gate?key=all");
    let all = join_all((0..5).map(|_| rig.get(&url).map(Result::unwrap)));
    let open = async {
        origin.wait_until(|stats| stats.in_flight == 5).await;
        origin.open_gate("all").unwrap();
    };
    tokio::join!(all, open);
    rig.finish().await;
}

#[tokio::test]
async fn queues_are_bounded_by_count_bytes_and_wait() {
    let origin = TestOrigin::builder().start().unwrap();
    let url = origin.url("/gate?key=queues");
    let bounds = |count, bytes, wait| {
        with_lane(|lane| {
            lane.concurrency = 1;
            lane.queue = QueueBounds { count, bytes, wait };
        })
    };
    let long = Duration::from_secs(60);
    for (config, expected) in [
        // One account has at most half of the places, and of the bytes.
        (bounds(4, 1 << 20, long), ErrorName::QueueFull),
        (bounds(100, 5_000, long), ErrorName::QueueFull),
        (
            bounds(100, 1 << 20, Duration::from_millis(30)),
            ErrorName::QueueTimeout,
        ),
    ] {
        let rig = Rig::new(config);
        let mut running = Box::pin(rig.get(&url));
        assert!((&mut running).now_or_never().is_none());
        let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(rig.get(&url))).collect();
        if expected == ErrorName::QueueTimeout {
            assert_eq!(rig.fails(&url).await, expected);
        } else {
            for fetch in &mut waiting {
                assert!(fetch.now_or_never().is_none());
            }
            assert_eq!(rig.fails(&url).await, expected);
            assert_eq!(rig.engine.lane_stats()[0].queued, 2);
        }
        // Withdrawn from the queue, and from the connection.
        drop(waiting);
        drop(running);
        rig.is_idle();
        rig.finish().await;
    }
}

#[tokio::test]
async fn accounts_have_limits_of_their_own_and_their_end_is_no_ones_loss() {
    let origin = TestOrigin::builder().start().unwrap();
    let url = origin.url("/gate?key=sessions");
    let rig = Rig::new(config());
    let small = AccountConfig {
        limits: AccountLimits {
            in_flight: 1,
            queued: 1,
            ..PLENTY.limits
        },
        ..PLENTY
    };
    let account = Account::open(&rig.engine, rig.network(crate::support::loopback()), small);
    let body = {
        let mut fetches: Vec<_> = (0..2)
            .map(|_| Box::pin(account.queue(get(&url)).perform()))
            .collect();
        for fetch in &mut fetches {
            assert!(fetch.now_or_never().is_none());
        }
        let refused = account
            .queue(get(&url))
            .perform()
            .await
            .expect_err("one waits already");
        assert_eq!(refused.name, ErrorName::QueueFull);
        rig.account
            .queue(get(&origin.url("/echo")))
            .perform()
            .await
            .unwrap();
        origin.open_gate("sessions").unwrap();
        let fetched = soon(fetches.remove(0)).await.unwrap();
        fetched.response.into_body()
    };
    // The account goes, its fetch's body stays.
    drop(account);
    assert_eq!(rig.engine.lane_stats()[0].in_flight, 0);
    soon(body.collect()).await.unwrap();
    rig.finish().await;
}

#[tokio::test]
async fn a_pace_is_kept() {
    let origin = TestOrigin::builder().start().unwrap();
    let window = Duration::from_millis(200);
    let rig = Rig::new(with_lane(|lane| {
        lane.rate = Some(Rate { count: 20, window });
    }));
    let url = origin.url("/echo");
    let began = Instant::now();
    join_all((0..31).map(|_| rig.get(&url).map(Result::unwrap))).await;
    // The first at once, and 30 more at 10 ms each.
    assert!(began.elapsed() >= Duration::from_millis(300));
    rig.finish().await;
}

#[tokio::test]
async fn retry_after_slows_its_origin_only_and_within_the_cap() {
    let slowed = TestOrigin::builder().start().unwrap();
    let other = TestOrigin::builder().start().unwrap();
    for (code, slows) in [(429, true), (503, true), (500, false), (301, false)] {
        let cap = Duration::from_millis(150);
        let mut capped = config();
        capped.retry_after_cap = cap;
        let rig = Rig::new(capped);
        let path = format!("/headers?h=x:y&key={code}");
        let hint = slowed.url(&format!("/fail?key={code}&code={code}&retry_after=3600"));
        assert_eq!(rig.get(&hint).await.unwrap().status, code);
        let told = Instant::now();
        let mut waiting = Box::pin(rig.get(&slowed.url(&path)).map(Result::unwrap));
        let at_once = (&mut waiting).now_or_never().is_some();
        assert!(!at_once);
        assert_eq!(
            rig.engine.lane_stats()[0].queued,
            usize::from(slows),
            "{code}"
        );
        rig.get(&other.url("/echo")).await.unwrap();
        soon(waiting).await;
        assert!(!slows || told.elapsed() >= cap - Duration::from_millis(20));
        rig.finish().await;
    }
}

#[tokio::test]
async fn hops_take_the_permits_of_their_own_origins() {
    let from = TestOrigin::builder().start().unwrap();
    let to = TestOrigin::builder().start().unwrap();
    let mut limits = with_lane(|lane| lane.concurrency = 2);
    limits.origin_default.concurrency = 1;
    let rig = Rig::new(limits);
    let held = rig.fetch(get(&to.url("/stall?after=1"))).await.unwrap();
    let path = format!("/redirect?to={}", to.url("/echo"));
    let mut redirected = Box::pin(rig.get(&from.url(&path)).map(Result::unwrap));
    tokio::select! {
        _ = &mut redirected => panic!("the second origin is taken"),
        _ = from.wait_until(|stats| stats.completed == 1) => {}
    }
    // Waiting for the second origin, it holds nothing at the first, nor in the lane.
    tokio::select! {
        _ = &mut redirected => panic!("the second origin is taken"),
        whole = rig.get(&from.url("/echo")) => assert_eq!(whole.unwrap().status, 200),
    }
    drop(held);
    assert_eq!(soon(redirected).await.url.as_str(), to.url("/echo"));
    rig.finish().await;
}
