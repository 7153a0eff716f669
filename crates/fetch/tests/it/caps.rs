//! How much of a body there may be, and how much of all bodies at once.

use std::sync::atomic::{AtomicU64, Ordering};

use fetchway_fetch::{Account, AccountConfig, EngineConfig};
use fetchway_policy::ErrorName;
use fetchway_test_origins::TestOrigin;
use futures_util::FutureExt as _;
use futures_util::future::join_all;

use crate::support::{PLENTY, Rig, get, loopback, soon, trusting_origin, with_lane};

const MIB: u64 = 1 << 20;

fn capped(cap: u64) -> EngineConfig {
    with_lane(|lane| lane.response_cap = cap)
}

#[tokio::test]
async fn a_length_over_the_cap_is_refused_before_it_is_read() {
    let h1 = TestOrigin::builder().start().unwrap();
    let h2 = TestOrigin::builder().tls().start().unwrap();
    let rig = Rig::new(trusting_origin(capped(1_000), &h2));
    for origin in [h1, h2] {
        let failed = rig
            .fetch(get(&origin.url("/bytes?n=1001")))
            .await
            .expect_err("it is over");
        assert_eq!(failed.name, ErrorName::HttpResponseBodySize);
        let told = "more than 1000 bytes, the lane's response-cap";
        assert!(failed.detail.contains(told), "{failed}");
        assert_eq!(
            rig.get(&origin.url("/bytes?n=1000"))
                .await
                .unwrap()
                .body
                .len(),
            1_000
        );
        // A HEAD tells of a length that does not come.
        let mut head = get(&origin.url("/bytes?n=5000"));
        head.method = http::Method::HEAD;
        assert_eq!(
            rig.whole(head).await.unwrap().headers["content-length"],
            "5000"
        );
    }
    rig.finish().await;
}

#[tokio::test]
async fn bodies_are_counted_as_they_come_and_as_they_decode() {
    let h1 = TestOrigin::builder().start().unwrap();
    let h2 = TestOrigin::builder().tls().start().unwrap();
    let rig = Rig::new(trusting_origin(capped(100_000), &h2));
    for origin in [h1, h2] {
        let over = ErrorName::HttpResponseBodySize;
        assert_eq!(
            rig.fails(&origin.url("/bytes?n=100001&chunked=1")).await,
            over
        );
        // Endless, so to speak.
        assert_eq!(
            rig.fails(&origin.url("/bytes?n=900000000&chunked=1")).await,
            over
        );
        let whole = rig
            .get(&origin.url("/bytes?n=100000&chunked=1"))
            .await
            .unwrap();
        assert_eq!(whole.body.len(), 100_000);
        // A few hundred bytes on the wire.
        for coding in ["gzip", "br", "zstd", "deflate"] {
            let bomb = origin.url(&format!("/{coding}?n=50000000&zeros=1"));
            assert_eq!(rig.fails(&bomb).await, over, "{coding}");
            assert!(rig.count.last().moved.received <= 100_000);
            let fits = origin.url(&format!("/{coding}?n=100000&zeros=1"));
            assert_eq!(rig.get(&fits).await.unwrap().body.len(), 100_000);
        }
        soon(origin.wait_until(|stats| stats.in_flight == 0)).await;
    }
    rig.finish().await;
}

#[tokio::test]
async fn a_whole_body_has_a_cap_of_its_own() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(capped(MIB));
    for (path, fits) in [
        ("/bytes?n=1000", true),
        ("/bytes?n=1001", false),
        ("/bytes?n=1000&chunked=1", true),
        ("/bytes?n=1001&chunked=1", false),
        ("/gzip?n=1000&zeros=1", true),
        ("/gzip?n=1001&zeros=1", false),
        ("/status?code=204", true),
    ] {
        let body = rig
            .fetch(get(&origin.url(path)))
            .await
            .unwrap()
            .response
            .into_body();
        let mut hold = rig.account.hold();
        match soon(body.whole(&mut hold, 50, 1_000)).await {
            Ok(whole) => {
                assert!(fits, "{path}");
                assert_eq!(rig.engine.budget_used(), 50 + whole.len() as u64, "{path}");
            }
            Err(error) => {
                assert!(!fits, "{path}: {error}");
                assert_eq!(error.name, ErrorName::HttpResponseBodySize);
            }
        }
        drop(hold);
        rig.is_idle();
    }
    rig.finish().await;
}

/// 50 bodies of 1 MiB under a budget of 2 MiB; each answer is kept a while, as a client that reads
/// slowly would.
async fn half_read_bodies(path: &str, origin: TestOrigin, config: EngineConfig) {
    let mut config = config;
    config.body_budget = 2 * MIB;
    config.lanes[0].1.response_cap = MIB;
    let rig = Rig::new(config);
    let accounts: Vec<_> = (0..5)
        .map(|_| {
            let bodies = AccountConfig {
                bodies: 2 * MIB,
                ..PLENTY
            };
            Account::open(&rig.engine, rig.network(loopback()), bodies)
        })
        .collect();
    let held = AtomicU64::new(0);
    let fetches = (0..50).map(|n| {
        let account = &accounts[n % 5];
        let (rig, held, origin) = (&rig, &held, &origin);
        async move {
            let url = origin.url(&format!("{path}&seed={n}"));
            let fetched = soon(account.queue(get(&url)).perform()).await.unwrap();
            let mut hold = account.hold();
            let whole = fetched.response.into_body().whole(&mut hold, 0, MIB);
            let whole = soon(whole).await.unwrap();
            let all = held.fetch_add(whole.len() as u64, Ordering::Relaxed) + whole.len() as u64;
            assert!(all <= 3 * MIB, "{all} bytes of answers are held");
            assert!(rig.engine.budget_used() <= 3 * MIB);
            rig.get(&origin.url("/status?code=200")).await.unwrap();
            held.fetch_sub(whole.len() as u64, Ordering::Relaxed);
        }
    });
    join_all(fetches).await;
    drop(accounts);
    rig.finish().await;
}

#[tokio::test]
async fn half_read_bodies_never_lock_one_another_out() {
    let h1 = || TestOrigin::builder().start().unwrap();
    half_read_bodies("/bytes?n=1048576&chunked=1", h1(), capped(MIB)).await;
    half_read_bodies("/bytes?n=1048576", h1(), capped(MIB)).await;
    half_read_bodies("/gzip?n=1048576", h1(), capped(MIB)).await;
    let h2 = TestOrigin::builder().tls().start().unwrap();
    let config = trusting_origin(capped(MIB), &h2);
    half_read_bodies("/bytes?n=1048576&chunked=1", h2, config).await;
}

#[tokio::test]
#[expect(clippy::async_yields_async, reason = "the reading is polled by hand")]
async fn room_is_reserved_before_it_is_read_into() {
    let origin = TestOrigin::builder().start().unwrap();
    let mut config = capped(64 * MIB);
    config.body_budget = 2 * MIB;
    let rig = Rig::new(config);
    let begin = async |path: &str| {
        let fetched = rig.fetch(get(&origin.url(path))).await.unwrap();
        let mut hold = rig.account.hold();
        Box::pin(async move {
            let whole = fetched
                .response
                .into_body()
                .whole(&mut hold, 0, 64 * MIB)
                .await;
            whole.map(|whole| (whole, hold))
        })
    };
    // Small answers fill the budget and are not taken.
    let mut kept = Vec::new();
    for _ in 0..2 {
        let body = begin("/bytes?n=1048576").await;
        kept.push(soon(body).await.unwrap());
    }
    // The oldest of those that wait may pass the limit; the next one may not.
    let mut first = begin("/gate?key=first&after=0&n=33554432").await;
    assert!((&mut first).now_or_never().is_none());
    let mut second = begin("/bytes?n=20971520").await;
    assert!((&mut second).now_or_never().is_none());
    assert_eq!(rig.engine.budget_used(), 34 * MIB);
    // It is not read: what the origin has got rid of is what the sockets hold.
    tokio::select! {
        _ = &mut second => panic!("it has no room"),
        answer = rig.get(&origin.url("/delay?ms=50")) => drop(answer.unwrap()),
    }
    assert!(origin.stats().bytes_sent < 20 * MIB);
    assert_eq!(
        rig.engine.lane_stats()[0].paused,
        1,
        "its permit may be lent"
    );
    // One that waits may be given up.
    let third = begin("/bytes?n=1048576").await;
    drop(third);
    origin.open_gate("first").unwrap();
    let (whole, hold) = soon(first).await.unwrap();
    assert_eq!(whole.len() as u64, 32 * MIB);
    drop((whole, hold));
    drop(kept);
    let (whole, _hold) = soon(second).await.unwrap();
    assert_eq!(whole.len() as u64, 20 * MIB);
    drop((whole, _hold));
    rig.finish().await;
}
