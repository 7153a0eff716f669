//! The clocks of a fetch. They are set short, and what must not end them is longer than they are.

use std::time::Duration;

use fetchway_fetch::EngineConfig;
use fetchway_policy::{Clocks, ErrorName, LaneConfig, RetryPolicy, Timeouts};
use fetchway_test_origins::{Kind, TestOrigin, filler};
use http_body_util::BodyExt as _;

use crate::support::{
    H2Peer, Peer, Rig, config, data, get, soon, trusting, trusting_origin, with_lane,
};

const SHORT: Duration = Duration::from_millis(60);

fn clocks(set: impl FnOnce(&mut Clocks)) -> EngineConfig {
    with_lane(|lane| set(&mut lane.clocks))
}

#[tokio::test]
async fn connecting_takes_no_longer_than_its_clock() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(
        clocks(|clocks| clocks.connect = SHORT),
        &peer.certificate,
    ));
    let url = peer.url("/");
    // Says nothing under TLS, then nothing of HTTP/2.
    let (failed, silent) = tokio::join!(rig.get(&url), peer.accept_tcp());
    let failed = failed.expect_err("it is silent");
    assert_eq!(failed.name, ErrorName::ConnectionTimeout);
    let told = "within 60ms, the lane's connect-timeout.";
    assert!(failed.detail.ends_with(told), "{failed}");
    drop(silent);
    let (failed, silent) = tokio::join!(rig.fails(&url), peer.accept_tls("h2"));
    assert_eq!(failed, ErrorName::ConnectionTimeout);
    drop(silent);
    rig.finish().await;
}

#[tokio::test]
async fn the_header_has_its_clock() {
    let h1 = TestOrigin::builder().start().unwrap();
    let h2 = TestOrigin::builder().tls().start().unwrap();
    let short = clocks(|clocks| clocks.header = SHORT);
    let rig = Rig::new(trusting_origin(short, &h2));
    for origin in [h1, h2] {
        let failed = rig.fails(&origin.url("/gate?key=never")).await;
        assert_eq!(failed, ErrorName::HttpResponseTimeout);
        let stats = soon(origin.wait_until(|stats| stats.aborted == 1)).await;
        assert_eq!(stats.requests, 1);
        // It is over when the header has come.
        let whole = rig
            .get(&origin.url("/slow?chunks=10&gap_ms=10&size=10"))
            .await
            .unwrap();
        assert_eq!(whole.body.len(), 100);
    }
    rig.finish().await;
}

#[tokio::test]
async fn a_connection_that_fell_silent_gets_no_more_streams() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(
        clocks(|clocks| clocks.header = SHORT),
        &peer.certificate,
    ));
    let url = peer.url("/");
    let origin = async {
        let mut dead = peer.accept_frames().await;
        dead.allow(100).await;
        dead.request().await;
        // From here on it neither reads nor writes, as if its cable had been cut.
        let mut alive = peer.accept().await;
        alive.answer("ok").await;
        (dead, alive)
    };
    let fetches = async {
        assert_eq!(rig.fails(&url).await, ErrorName::HttpResponseTimeout);
        assert_eq!(rig.get(&url).await.unwrap().text(), "ok");
    };
    let ((dead, alive), ()) = tokio::join!(origin, fetches);
    tokio::join!(rig.finish(), dead.closed(), alive.closed());
}

#[tokio::test]
async fn a_silent_body_has_its_clock() {
    let h1 = TestOrigin::builder().start().unwrap();
    let h2 = TestOrigin::builder().tls().start().unwrap();
    let short = clocks(|clocks| clocks.body_idle = SHORT);
    let rig = Rig::new(trusting_origin(short, &h2));
    for origin in [h1, h2] {
        for path in ["/stall?after=10&n=20", "/stall?after=10", "/stall"] {
            let failed = rig.fails(&origin.url(path)).await;
            assert_eq!(failed, ErrorName::ConnectionReadTimeout);
        }
        soon(origin.wait_until(|stats| stats.in_flight == 0)).await;
        // Slower in all, but never silent for as long.
        let whole = rig
            .get(&origin.url("/slow?chunks=20&gap_ms=10&size=10"))
            .await
            .unwrap();
        assert_eq!(whole.body.len(), 200);
    }
    rig.finish().await;
}

#[tokio::test]
async fn the_total_time_covers_all() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(with_lane(|lane| {
        lane.clocks.total = SHORT;
        lane.retry = RetryPolicy {
            retries: 1_000,
            base: Duration::from_millis(1),
            max: Duration::from_millis(1),
        };
    }));
    // Before the header, within the body, over redirects and over retries.
    for path in [
        "/gate?key=never",
        "/stall?after=10",
        "/slow?chunks=1000&gap_ms=5",
    ] {
        assert_eq!(
            rig.fails(&origin.url(path)).await,
            ErrorName::HttpResponseTimeout
        );
    }
    let to = origin.url("/gate?key=never");
    let redirect = origin.url(&format!("/redirect?to={to}"));
    assert_eq!(rig.fails(&redirect).await, ErrorName::HttpResponseTimeout);
    rig.finish().await;
}

#[tokio::test]
async fn a_retry_that_the_total_time_leaves_no_room_for_is_not_waited_for() {
    let origin = TestOrigin::builder().start().unwrap();
    let ages = Duration::from_secs(1 << 40);
    let rig = Rig::new(with_lane(|lane| {
        lane.retry = RetryPolicy {
            retries: 1_000,
            base: ages,
            max: ages,
        };
    }));
    let whole = rig
        .get(&origin.url("/fail?key=ever&times=9"))
        .await
        .unwrap();
    assert_eq!(
        (whole.status, origin.stats().requests),
        (503.try_into().unwrap(), 1)
    );
    rig.finish().await;
}

#[tokio::test]
async fn the_queue_is_not_part_of_the_total_time() {
    let origin = TestOrigin::builder().start().unwrap();
    let mut config = with_lane(|lane| {
        lane.clocks.total = Duration::from_secs(1);
        lane.concurrency = 1;
    });
    config
        .lanes
        .push(("other".to_owned(), LaneConfig::default()));
    let rig = Rig::new(config);
    let held = rig.fetch(get(&origin.url("/stall?after=1"))).await.unwrap();
    let mut other = get(&origin.url("/delay?ms=1500"));
    other.lane = 1;
    let waiting = rig.get(&origin.url("/echo"));
    let holding = async {
        rig.whole(other).await.unwrap();
        drop(held);
    };
    let (waited, ()) = tokio::join!(waiting, holding);
    assert_eq!(waited.unwrap().status, 200);
    rig.finish().await;
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_clocks() {
    let h1 = TestOrigin::builder().start().unwrap();
    let h2 = TestOrigin::builder().tls().start().unwrap();
    let mut config = clocks(|clocks| {
        clocks.body_idle = SHORT;
        clocks.total = 4 * SHORT;
    });
    config
        .lanes
        .push(("unhurried".to_owned(), LaneConfig::default()));
    let rig = Rig::new(trusting_origin(config, &h2));
    for origin in [h1, h2] {
        let fetched = rig
            .fetch(get(&origin.url("/bytes?n=8388608&seed=5")))
            .await
            .unwrap();
        let mut body = fetched.response.into_body();
        let first = data(&mut body).await.unwrap().unwrap();
        // Longer than both clocks.
        let mut other = get(&origin.url("/delay?ms=500"));
        other.lane = 1;
        rig.whole(other).await.unwrap();
        let rest = soon(body.collect()).await.unwrap().to_bytes();
        assert!([first, rest].concat() == filler(Kind::Text, 5, 8 << 20).to_vec());
    }
    rig.finish().await;
}

#[tokio::test]
async fn one_fetch_may_ask_for_less_and_never_for_more() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(clocks(|clocks| clocks.header = Duration::from_millis(200)));
    let with = |timeouts| {
        let mut request = get(&origin.url("/gate?key=never"));
        request.timeouts = timeouts;
        rig.whole(request)
    };
    let less = Timeouts {
        total: Some(SHORT),
        ..Timeouts::default()
    };
    let failed = with(less).await.expect_err("it takes longer");
    assert_eq!(failed.name, ErrorName::HttpResponseTimeout);
    assert!(
        failed
            .detail
            .contains("60ms, the request's own total-timeout"),
        "{failed}"
    );
    let more = Timeouts {
        header: Some(Duration::MAX),
        ..Timeouts::default()
    };
    let failed = with(more).await.expect_err("the lane's clock stays");
    assert!(
        failed.detail.contains("200ms, the lane's header-timeout"),
        "{failed}"
    );
    rig.finish().await;
}

#[tokio::test]
async fn clocks_without_end_are_no_trouble() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(clocks(|clocks| {
        *clocks = Clocks {
            connect: Duration::MAX,
            header: Duration::MAX,
            body_idle: Duration::MAX,
            total: Duration::MAX,
        };
    }));
    let whole = rig
        .get(&origin.url("/slow?chunks=3&gap_ms=5"))
        .await
        .unwrap();
    assert_eq!(whole.body.len(), 48);
    rig.finish().await;
}

#[tokio::test]
async fn a_redirect_does_not_wait_for_its_own_body() {
    let peer = Peer::bind().await;
    let rig = Rig::new(config());
    let url = peer.url("/");
    let origin = async {
        let mut first = peer.accept().await;
        first.head().await;
        // The body never comes.
        first
            .send("HTTP/1.1 302 Found\r\nlocation: /next\r\ncontent-length: 100\r\n\r\n")
            .await;
        let mut second = peer.accept().await;
        assert!(second.head().await.starts_with("GET /next "));
        second
            .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await;
        (first, second)
    };
    let (whole, connections) = tokio::join!(rig.get(&url), origin);
    assert_eq!(whole.unwrap().text(), "ok");
    let (first, second) = connections;
    tokio::join!(first.closed(), rig.finish(), second.closed());
}
