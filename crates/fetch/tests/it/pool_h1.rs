//! HTTP/1.1 connections: kept, bounded, closed, and not trusted when the origin may have closed
//! them.

use std::time::Duration;

use fetchway_fetch::Account;
use fetchway_test_origins::TestOrigin;
use http::Method;

use crate::support::{Peer, Rig, config, data, get, post, request, soon};

#[tokio::test]
async fn a_connection_serves_one_fetch_after_the_other() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    for path in [
        "/bytes?n=100000",
        "/bytes?n=100000&chunked=1",
        "/bytes?n=0",
        "/status?code=204",
        "/status?code=404",
        "/redirect?n=3",
        "/gzip?n=50000",
    ] {
        rig.get(&origin.url(path)).await.unwrap();
    }
    rig.whole(request(Method::HEAD, &origin.url("/bytes?n=100"), ""))
        .await
        .unwrap();
    rig.whole(post(&origin.url("/echo"), vec![b'x'; 300_000]))
        .await
        .unwrap();
    assert_eq!((origin.stats().connections, rig.count.opened()), (1, 1));
    rig.finish().await;
}

#[tokio::test]
async fn simultaneous_fetches_have_a_connection_each() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    for _ in 0..2 {
        let before = origin.stats().requests;
        let url = origin.url(&format!("/gate?key={before}"));
        let all = futures_util::future::join_all((0..10).map(|_| rig.get(&url)));
        let open = async {
            origin
                .wait_until(|stats| stats.requests == before + 10)
                .await;
            origin.open_gate(&before.to_string()).unwrap();
        };
        let (answers, ()) = tokio::join!(all, open);
        assert!(answers.iter().all(Result::is_ok));
    }
    assert_eq!(origin.stats().connections, 10);
    rig.finish().await;
}

#[tokio::test]
async fn what_the_origin_closes_while_idle_is_not_used_again() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    let paths = [
        "/echo",
        "/bytes?n=10&close=1",
        "/bytes?n=10&chunked=1&close=1",
        "/echo",
    ];
    for (path, connections) in paths.into_iter().zip([1, 1, 2, 3]) {
        rig.whole(post(&origin.url(path), "x")).await.unwrap();
        assert_eq!(origin.stats().connections, connections);
    }
    // Closed while nobody looks.
    origin.break_connections();
    origin.wait_until(|stats| stats.open == 0).await;
    rig.whole(post(&origin.url("/echo"), "x")).await.unwrap();
    assert_eq!(
        (origin.stats().connections, origin.stats().requests),
        (4, 5)
    );
    rig.finish().await;
}

#[tokio::test]
async fn a_closed_connection_is_seen_by_a_task_that_has_used_up_its_share() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    rig.whole(post(&origin.url("/echo"), "x")).await.unwrap();
    origin.break_connections();
    origin.wait_until(|stats| stats.open == 0).await;
    // So that tokio has heard of it as well.
    let other = TestOrigin::builder().start().unwrap();
    rig.get(&other.url("/delay?ms=1")).await.unwrap();
    let mut sent = Box::pin(rig.whole(post(&origin.url("/echo"), "x")));
    let mut spent = false;
    let answer = std::future::poll_fn(|cx| {
        while !spent {
            // tokio's sockets now say that nothing has come, whatever has.
            let mut share = std::pin::pin!(tokio::task::consume_budget());
            spent = share.as_mut().poll(cx).is_pending();
        }
        sent.as_mut().poll(cx)
    });
    soon(answer)
        .await
        .expect("the closed connection is not used");
    drop(sent);
    rig.finish().await;
}

/// Ten at once to each of `origins`, all answered; how many connections are left.
async fn burst(rig: &Rig, origins: &[TestOrigin]) -> usize {
    let fetches = origins.iter().flat_map(|origin| {
        let url = origin.url("/gate?key=burst");
        (0..10).map(move |_| {
            let url = url.clone();
            async move { rig.get(&url).await.unwrap() }
        })
    });
    let all = futures_util::future::join_all(fetches);
    let open = async {
        for origin in origins {
            origin.wait_until(|stats| stats.in_flight == 10).await;
            origin.open_gate("burst").unwrap();
        }
    };
    tokio::join!(all, open);
    assert_eq!(rig.count.opened(), 10 * origins.len());
    rig.count.open()
}

#[tokio::test]
async fn idle_connections_are_bounded_per_origin_in_all_and_in_time() {
    let origins: Vec<TestOrigin> = (0..3)
        .map(|_| TestOrigin::builder().start().unwrap())
        .collect();

    let mut bounds = config();
    bounds.pool.idle_per_origin = 4;
    let rig = Rig::new(bounds);
    assert_eq!(burst(&rig, &origins[..1]).await, 4);
    rig.finish().await;

    let mut bounds = config();
    bounds.pool.idle_total = 7;
    let rig = Rig::new(bounds);
    assert_eq!(burst(&rig, &origins[1..]).await, 7);
    rig.finish().await;

    let mut bounds = config();
    bounds.pool.idle_timeout = Duration::from_millis(100);
    let rig = Rig::new(bounds);
    rig.get(&origins[0].url("/echo")).await.unwrap();
    soon(rig.count.wait_until(|count| count.open() == 0)).await;
    rig.finish().await;
}

#[tokio::test]
async fn the_bound_in_all_forgets_networks_that_are_gone() {
    let origin = TestOrigin::builder().start().unwrap();
    let mut bounds = config();
    bounds.pool.idle_total = 1;
    let rig = Rig::new(bounds);
    for port in 1..5 {
        let mut policy = crate::support::loopback();
        policy.deny_ports = vec![port..=port];
        let account = Account::open(&rig.engine, rig.network(policy), crate::support::PLENTY);
        for _ in 0..2 {
            let fetched = account
                .queue(get(&origin.url("/echo")))
                .perform()
                .await
                .unwrap();
            crate::support::whole(fetched).await.unwrap();
        }
        assert_eq!(
            rig.count.opened(),
            usize::from(port),
            "the second finds the first's"
        );
    }
    rig.finish().await;
}

#[tokio::test]
async fn cancelling_before_the_header_closes_the_connection() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    let url = origin.url("/gate?key=never");
    tokio::select! {
        _ = rig.get(&url) => panic!("it cannot end"),
        _ = origin.wait_until(|stats| stats.in_flight == 1) => {}
    }
    let stats = soon(origin.wait_until(|stats| stats.open == 0)).await;
    assert_eq!((stats.aborted, rig.count.open()), (1, 0));
    rig.finish().await;
}

#[tokio::test]
async fn cancelling_within_the_body_closes_the_connection() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    for path in [
        "/stall?after=10&n=20",
        "/stall?after=10",
        "/bytes?n=30000000",
    ] {
        let fetched = rig.fetch(get(&origin.url(path))).await.unwrap();
        let mut body = fetched.response.into_body();
        assert!(data(&mut body).await.unwrap().unwrap().len() >= 10);
        assert_eq!(
            rig.engine.lane_stats()[0].in_flight,
            1,
            "held until the body ends"
        );
        drop(body);
        soon(origin.wait_until(|stats| stats.open == 0)).await;
        assert_eq!(rig.count.open(), 0);
        rig.is_idle();
    }
    rig.finish().await;
}

#[tokio::test]
async fn connection_close_is_heeded() {
    let peer = Peer::bind().await;
    let rig = Rig::new(config());
    let url = peer.url("/");
    let origin = async {
        for _ in 0..2 {
            let mut connection = peer.accept().await;
            connection.head().await;
            let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
            connection.send(answer).await;
            // Left open on this side: it is the client that must not use it again.
            connection.closed().await;
        }
    };
    let fetches = async {
        for _ in 0..2 {
            rig.get(&url).await.unwrap();
        }
    };
    tokio::join!(fetches, origin);
    rig.finish().await;
}
