//! What is sent again under a lane's retry policy. Requests are counted by the origin.

use std::time::Duration;

use fetchway_fetch::EngineConfig;
use fetchway_policy::{ErrorName, RetryPolicy};
use fetchway_test_origins::TestOrigin;
use http::Method;

use crate::support::{H2Peer, Peer, Rig, config, get, request, soon, trusting, with, with_lane};

fn retries(retries: u32) -> EngineConfig {
    with_lane(|lane| {
        lane.retry = RetryPolicy {
            retries,
            base: Duration::from_millis(1),
            max: Duration::from_millis(5),
        };
    })
}

#[tokio::test]
async fn nothing_is_retried_by_default() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    let whole = rig.get(&origin.url("/fail?key=a&times=1")).await.unwrap();
    assert_eq!((whole.status.as_u16(), origin.stats().requests), (503, 1));
    assert_eq!(
        rig.fails(&origin.url("/close")).await,
        ErrorName::ConnectionTerminated
    );
    rig.finish().await;
}

#[tokio::test]
async fn statuses_of_the_moment_are_retried_for_idempotent_requests() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(retries(2));
    for code in [408, 425, 429, 500, 502, 503, 504] {
        let before = origin.stats().requests;
        let url = origin.url(&format!("/fail?key={code}&times=2&code={code}"));
        assert_eq!(rig.get(&url).await.unwrap().status, 200, "{code}");
        assert_eq!(origin.stats().requests - before, 3, "{code}");
    }
    for code in [400, 404, 501, 505] {
        let before = origin.stats().requests;
        let url = origin.url(&format!("/fail?key={code}&times=2&code={code}"));
        assert_eq!(rig.get(&url).await.unwrap().status, code);
        assert_eq!(origin.stats().requests - before, 1, "{code}");
    }
    // The last answer is handed over when the retries are used up.
    let before = origin.stats().requests;
    let whole = rig
        .get(&origin.url("/fail?key=last&times=9"))
        .await
        .unwrap();
    assert_eq!(
        (whole.status.as_u16(), origin.stats().requests - before),
        (503, 3)
    );
    assert_eq!(whole.text(), "status 503");
    rig.finish().await;
}

#[tokio::test]
async fn a_post_is_retried_only_with_a_key() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(retries(2));
    for (key, requests) in [("plain", 1), ("keyed", 3)] {
        let before = origin.stats().requests;
        let mut post = request(
            Method::POST,
            &origin.url(&format!("/fail?key={key}&times=2")),
            "x",
        );
        if key == "keyed" {
            post = with(post, "idempotency-key", "\"7\"");
        }
        rig.whole(post).await.unwrap();
        assert_eq!(origin.stats().requests - before, requests, "{key}");
    }
    rig.finish().await;
}

#[tokio::test]
async fn connections_that_cannot_be_had_are_tried_again() {
    let peer = Peer::bind().await;
    let addr = peer.addr;
    drop(peer);
    let rig = Rig::new(retries(3));
    let url = format!("http://{addr}/");
    assert_eq!(rig.fails(&url).await, ErrorName::ConnectionRefused);
    // Broken off by the origin, four times.
    let origin = TestOrigin::builder().start().unwrap();
    assert_eq!(
        rig.fails(&origin.url("/close")).await,
        ErrorName::ConnectionTerminated
    );
    assert_eq!(origin.stats().requests, 4);
    let whole = rig
        .get(&origin.url("/fail?key=drop&times=3&drop=1"))
        .await
        .unwrap();
    assert_eq!(whole.status, 200);
    // Not what the caller asked for: no retries of refusals.
    assert_eq!(
        rig.fails("http://10.0.0.1/").await,
        ErrorName::DestinationIpProhibited
    );
    rig.finish().await;
}

#[tokio::test]
async fn the_free_resend_does_not_count_nor_come_twice() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(retries(2), &peer.certificate));
    let url = peer.url("/");
    let origin = async {
        let mut connection = peer.accept_frames().await;
        connection.allow(100).await;
        // Three tries, and one more for free.
        for _ in 0..4 {
            let id = connection.request().await;
            connection.reset(id, h2::Reason::REFUSED_STREAM).await;
        }
        connection
    };
    let (failed, connection) = tokio::join!(rig.fails(&url), origin);
    assert_eq!(failed, ErrorName::ConnectionTerminated);
    tokio::join!(rig.finish(), connection.closed());
}

#[tokio::test]
async fn a_retry_that_the_total_time_has_no_room_for_is_not_waited_for() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(with_lane(|lane| {
        lane.retry.retries = 1;
        lane.retry.base = Duration::from_secs(86_400 * 365);
        lane.retry.max = lane.retry.base;
        lane.clocks.total = Duration::from_secs(5);
    }));
    let whole = soon(rig.get(&origin.url("/fail?key=late&times=1")))
        .await
        .unwrap();
    assert_eq!((whole.status.as_u16(), origin.stats().requests), (503, 1));
    rig.finish().await;
}

#[tokio::test]
async fn nothing_is_sent_again_once_the_header_has_been_handed_over() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(retries(4));
    let name = rig.fails(&origin.url("/cut?after=10&n=20")).await;
    assert_eq!(
        (name, origin.stats().requests),
        (ErrorName::HttpResponseIncomplete, 1)
    );
    rig.get(&origin.url("/echo")).await.unwrap();
    let fetched = rig.fetch(get(&origin.url("/stall?after=3"))).await.unwrap();
    drop(fetched);
    assert_eq!(origin.stats().requests, 3);
    rig.finish().await;
}
