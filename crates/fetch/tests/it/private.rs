//! Private networks: nobody else gets at their connections, and they may speak HTTP/2 without TLS.

use std::sync::Arc;
use std::time::Duration;

use fetchway_fetch::Account;
use fetchway_policy::ErrorName;
use fetchway_policy::guard::AddressPolicy;
use fetchway_test_origins::TestOrigin;
use futures_util::future::join_all;

use crate::support::{
    H2Conn, PLENTY, Peer, Rig, config, get, loopback, post, soon, trusting_origin, whole,
};

fn h2c(streams: u32) -> TestOrigin {
    let origin = TestOrigin::builder().h2c().max_concurrent_streams(streams);
    origin.start().unwrap()
}

#[tokio::test]
async fn a_private_networks_connections_are_nobody_elses() {
    let origin = TestOrigin::builder().start().unwrap();
    let url = origin.url("/echo");
    let policy = Arc::new(loopback());
    let rig = Rig::with_network(config(), |engine| engine.private_network(policy, false));
    rig.get(&url).await.unwrap();
    assert_eq!((origin.stats().connections, origin.stats().open), (1, 1));
    // One with the same policy, and another private one, have to dial.
    let private = (rig.engine).private_network(Arc::new(loopback()), false);
    let mut connections = 1;
    for network in [rig.network(loopback()), private] {
        let account = Account::open(&rig.engine, network, PLENTY);
        connections += 1;
        for _ in 0..2 {
            let fetched = soon(account.queue(get(&url)).perform()).await.unwrap();
            whole(fetched).await.unwrap();
            assert_eq!(origin.stats().connections, connections);
        }
    }
    rig.get(&url).await.unwrap();
    assert_eq!(origin.stats().connections, connections, "its own is warm");
    assert!(Arc::ptr_eq(
        &rig.network(loopback()),
        &rig.network(loopback())
    ));
    rig.finish().await;
}

#[tokio::test]
async fn its_idle_connections_are_swept_like_others() {
    let mut bounds = config();
    bounds.pool.idle_timeout = Duration::from_millis(100);
    let plain = TestOrigin::builder().start().unwrap();
    let shared = h2c(100);
    for (origin, h2c) in [(plain, false), (shared, true)] {
        let rig = Rig::with_network(bounds.clone(), |engine| {
            engine.private_network(Arc::new(loopback()), h2c)
        });
        rig.get(&origin.url("/echo")).await.unwrap();
        soon(rig.count.wait_until(|count| count.open() == 0)).await;
        soon(origin.wait_until(|stats| stats.open == 0)).await;
        rig.get(&origin.url("/echo")).await.unwrap();
        assert_eq!(origin.stats().connections, 2);
        rig.finish().await;
    }
}

#[tokio::test]
async fn its_policy_may_be_to_allow_all_but_never_the_nodes_own_listeners() {
    let origin = TestOrigin::builder().start().unwrap();
    let policy = Arc::new(AddressPolicy::allow_all());
    let rig = Rig::with_network(config(), |engine| engine.private_network(policy, false));
    rig.get(&origin.url("/echo")).await.unwrap();
    let own = TestOrigin::builder().start().unwrap();
    rig.engine.add_own_listener(own.addr());
    assert_eq!(
        rig.fails(&own.url("/echo")).await,
        ErrorName::ProxyLoopDetected
    );
    rig.finish().await;
}

#[tokio::test]
async fn h2c_fetches_share_connections_within_the_stream_limit() {
    let origin = h2c(10);
    let rig = Rig::h2c(config());
    let echo = rig.get(&origin.url("/echo?x=1")).await.unwrap();
    assert_eq!(echo.json()["version"], "HTTP/2.0");
    for key in ["first", "second"] {
        let url = origin.url(&format!("/gate?key={key}&n=10"));
        let all = join_all((0..300).map(|_| rig.get(&url)));
        let open = async {
            soon(origin.wait_until(|stats| stats.in_flight == 300)).await;
            origin.open_gate(key).unwrap();
        };
        let (answers, ()) = tokio::join!(all, open);
        assert!(answers.iter().all(Result::is_ok));
        let dials = origin.stats().connections;
        assert!(
            (30..=35).contains(&dials),
            "{dials} dials for 300, 10 on each"
        );
    }
    // A connection that the origin ends in good order is replaced.
    origin.drain_connections();
    soon(origin.wait_until(|stats| stats.open == 0)).await;
    let sent = post(&origin.url("/echo"), "a message");
    assert_eq!(rig.whole(sent).await.unwrap().json()["body"], "a message");
    rig.finish().await;
}

#[tokio::test]
async fn the_first_h2c_dial_is_one_for_all() {
    let peer = Peer::bind().await;
    let rig = Rig::h2c(config());
    let url = peer.url("/some/path?q=1");
    let fetches = join_all((0..20).map(|_| rig.get(&url)));
    let origin = async {
        let tcp = peer.accept_tcp().await;
        assert!(peer.nobody_waits(), "one dial, however many wait");
        let mut connection = H2Conn::open(tcp).await;
        let (request, respond) = connection.stream().await;
        assert_eq!(request.uri().to_string(), url, "scheme and authority");
        crate::support::answer(respond, "ok");
        for _ in 1..20 {
            connection.answer("ok").await;
        }
        connection
    };
    let (answers, connection) = tokio::join!(fetches, origin);
    for answer in answers {
        assert_eq!(answer.unwrap().text(), "ok");
    }
    tokio::join!(rig.finish(), connection.closed());
}

#[tokio::test]
async fn an_origin_that_knows_no_h2c_is_told_of() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::h2c(config());
    let failed = rig.get(&origin.url("/echo")).await.expect_err("HTTP/1.1");
    assert_eq!(failed.name, ErrorName::HttpProtocolError);
    assert!(
        failed.detail.contains("did not answer in HTTP/2"),
        "{failed}"
    );
    rig.finish().await;
}

#[tokio::test]
async fn https_is_not_touched_by_h2c() {
    for origin in [
        TestOrigin::builder().tls(),
        TestOrigin::builder().tls().http1_only(),
    ] {
        let origin = origin.start().unwrap();
        let rig = Rig::h2c(trusting_origin(config(), &origin));
        rig.get(&origin.url("/echo")).await.unwrap();
        rig.finish().await;
    }
}
