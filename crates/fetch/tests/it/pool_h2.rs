//! HTTP/2 connections: how many are dialled, who waits for them, what becomes of those who wait.

use std::time::Duration;

use fetchway_policy::{ErrorName, Timeouts};
use fetchway_test_origins::TestOrigin;
use futures_util::future::join_all;

use crate::support::{H2Conn, H2Peer, Peer, Rig, config, get, soon, trusting, trusting_origin};

fn tls() -> TestOrigin {
    TestOrigin::builder().tls().start().unwrap()
}

#[tokio::test]
async fn fetches_share_one_connection() {
    let origin = tls();
    let rig = Rig::new(trusting_origin(config(), &origin));
    let url = origin.url("/echo");
    for answer in join_all((0..50).map(|_| rig.get(&url))).await {
        assert_eq!(answer.unwrap().json()["version"], "HTTP/2.0");
    }
    assert_eq!(
        (origin.stats().connections, origin.stats().requests),
        (1, 50)
    );
    rig.finish().await;
    soon(origin.wait_until(|stats| stats.open == 0)).await;
}

/// `count` fetches that all hang until all have come: each needs a stream of its own.
async fn at_once(rig: &Rig, origin: &TestOrigin, key: &str, count: usize) {
    let url = origin.url(&format!("/gate?key={key}&n=10"));
    let all = join_all((0..count).map(|_| rig.get(&url)));
    let open = async {
        let flights = count as u64;
        soon(origin.wait_until(|stats| stats.in_flight == flights)).await;
        origin.open_gate(key).unwrap();
    };
    let (answers, ()) = tokio::join!(all, open);
    for answer in answers {
        assert_eq!(answer.unwrap().body.len(), 10);
    }
}

#[tokio::test]
async fn a_connection_carries_no_more_streams_than_its_window_was_made_for() {
    let origin = TestOrigin::builder()
        .tls()
        .max_concurrent_streams(1_000)
        .start()
        .unwrap();
    let rig = Rig::new(trusting_origin(config(), &origin));
    at_once(&rig, &origin, "all", 300).await;
    assert_eq!(origin.stats().connections, 2, "256 streams on each at most");
    rig.finish().await;
}

#[tokio::test]
async fn there_are_as_many_connections_as_the_stream_limit_asks_for() {
    let origin = TestOrigin::builder()
        .tls()
        .max_concurrent_streams(10)
        .start()
        .unwrap();
    let rig = Rig::new(trusting_origin(config(), &origin));
    at_once(&rig, &origin, "first", 300).await;
    let dials = origin.stats().connections;
    assert!(
        (30..=35).contains(&dials),
        "{dials} dials for 300 fetches, 10 a connection"
    );
    at_once(&rig, &origin, "second", 300).await;
    assert_eq!(origin.stats().connections, dials, "all are used again");
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_with_several_threads() {
    let origin = TestOrigin::builder()
        .tls()
        .max_concurrent_streams(100)
        .start()
        .unwrap();
    let rig = Rig::new(trusting_origin(config(), &origin));
    at_once(&rig, &origin, "all", 3_000).await;
    let dials = origin.stats().connections;
    assert!(
        (30..=35).contains(&dials),
        "{dials} dials for 3,000 fetches, 100 a connection"
    );
    rig.finish().await;
}

#[tokio::test]
async fn the_first_dial_is_one_whoever_cancels() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(config(), &peer.certificate));
    let url = peer.url("/");
    let mut first = Box::pin(rig.fetch(get(&url)));
    let mut others = Box::pin(join_all((0..20).map(|_| rig.get(&url))));
    // The one that began the dial goes away; the dial is not answered yet.
    let tls = tokio::select! {
        biased;
        _ = &mut first => panic!("nothing has answered"),
        _ = &mut others => panic!("nothing has answered"),
        tls = peer.accept_tls("h2") => tls,
    };
    drop(first);
    assert!(
        peer.nobody_waits(),
        "one dial while it is not known what the origin speaks"
    );
    let origin = async {
        let mut connection = H2Conn::open(tls).await;
        for _ in 0..20 {
            connection.answer("ok").await;
        }
        connection
    };
    let (connection, answers) = tokio::join!(origin, others);
    for answer in answers {
        assert_eq!(answer.unwrap().text(), "ok");
    }
    assert!(peer.nobody_waits());
    tokio::join!(rig.finish(), connection.closed());
}

#[tokio::test]
async fn a_failed_dial_fails_all_who_wait_for_it() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(config());
    let url = peer.url("/");
    let fetches = join_all((0..20).map(|_| rig.fails(&url)));
    let origin = async {
        // Its certificate is not trusted here.
        let handshake = peer.try_accept("h2").await;
        assert!(handshake.is_err());
    };
    let (names, ()) = tokio::join!(fetches, origin);
    assert!(
        names
            .iter()
            .all(|name| *name == ErrorName::TlsCertificateError),
        "{names:?}"
    );
    assert!(peer.nobody_waits(), "one dial for all");
    rig.finish().await;
}

#[tokio::test]
async fn a_hasty_fetch_does_not_cut_short_the_dial_of_others() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(config(), &peer.certificate));
    let url = peer.url("/");
    let mut hasty = get(&url);
    hasty.timeouts = Timeouts {
        connect: Some(Duration::from_millis(50)),
        ..Timeouts::default()
    };
    let mut patient = Box::pin(rig.get(&url));
    // The hasty one begins the dial. The origin takes the connection and says nothing.
    let hasty = async {
        let failed = rig.fetch(hasty).await.expect_err("it waits in vain");
        assert_eq!(failed.name, ErrorName::ConnectionTimeout);
    };
    let silent = async { peer.accept_tcp().await };
    let both = async { tokio::join!(hasty, silent) };
    let ((), _silent) = tokio::select! {
        biased;
        both = both => both,
        answer = &mut patient => panic!("nothing has answered, but {answer:?}"),
    };
    let origin = async {
        let mut connection = peer.accept().await;
        connection.answer("ok").await;
        connection
    };
    let (answer, connection) = tokio::join!(patient, origin);
    assert_eq!(answer.unwrap().text(), "ok");
    let ((), ()) = tokio::join!(rig.finish(), connection.closed());
}

#[tokio::test]
async fn https_may_be_http_1() {
    let origin = TestOrigin::builder().tls().http1_only().start().unwrap();
    let rig = Rig::new(trusting_origin(config(), &origin));
    at_once(&rig, &origin, "first", 20).await;
    assert_eq!(origin.stats().connections, 20);
    at_once(&rig, &origin, "second", 20).await;
    assert_eq!(origin.stats().connections, 20, "they are kept");
    let whole = rig.get(&origin.url("/echo")).await.unwrap();
    assert_eq!(whole.json()["version"], "HTTP/1.1");
    rig.finish().await;
}

#[tokio::test]
async fn an_origin_may_change_its_protocol() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(config(), &peer.certificate));
    let url = peer.url("/");
    let ok = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let origin = async {
        for _ in 0..2 {
            let mut h2 = peer.accept().await;
            h2.answer("h2").await;
            h2.answer("h2").await;
            // The client notices by itself; the next fetch needs a connection.
            let ended = rig.count.ended().len() / 4 * 4 + 2;
            rig.count
                .wait_until(|count| count.ended().len() == ended)
                .await;
            drop(h2);
            for _ in 0..2 {
                let mut h1 = peer.accept_h1().await;
                h1.head().await;
                h1.send(ok).await;
            }
        }
    };
    let fetches = async {
        for expected in ["h2", "h2", "ok", "ok"].repeat(2) {
            let answer = rig.get(&url).await.unwrap();
            assert_eq!(answer.text(), expected);
            if answer.text() == "h2" && rig.count.ended().len().is_multiple_of(2) {
                rig.count.wait_until(|count| count.open() == 0).await;
            }
        }
    };
    tokio::join!(origin, fetches);
    rig.finish().await;
}

#[tokio::test]
async fn idle_connections_are_closed_in_time() {
    let origin = tls();
    let mut bounds = trusting_origin(config(), &origin);
    bounds.pool.idle_timeout = Duration::from_millis(100);
    let rig = Rig::new(bounds);
    rig.get(&origin.url("/echo")).await.unwrap();
    soon(origin.wait_until(|stats| stats.open == 0)).await;
    soon(rig.count.wait_until(|count| count.open() == 0)).await;
    rig.get(&origin.url("/echo")).await.unwrap();
    rig.finish().await;
}

#[tokio::test]
async fn the_limit_is_heeded_as_it_changes() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(config(), &peer.certificate));
    let url = peer.url("/");
    let origin = async {
        let mut first = peer.accept_frames().await;
        first.allow(1).await;
        let one = first.request().await;
        // The other fetch has begun a dial for itself. Before that is answered, it gets a place.
        let tcp = peer.accept_tcp().await;
        first.allow(2).await;
        let two = first.request().await;
        first.allow(1).await;
        first.acknowledged().await;
        first.head(one, true).await;
        first.head(two, true).await;
        // Of the next two, one has to go to the second connection.
        let one = first.request().await;
        let mut second = peer.frames(tcp).await;
        second.allow(1).await;
        let two = second.request().await;
        first.head(one, true).await;
        second.head(two, true).await;
        (first, second)
    };
    let fetches = async {
        for _ in 0..2 {
            for answer in join_all((0..2).map(|_| rig.get(&url))).await {
                answer.unwrap();
            }
        }
    };
    let ((first, second), ()) = tokio::join!(origin, fetches);
    assert!(peer.nobody_waits());
    tokio::join!(rig.finish(), first.closed(), second.closed());
}

#[tokio::test]
async fn an_origin_that_hangs_up_at_once_fails_its_fetches() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(config(), &peer.certificate));
    let url = peer.url("/");
    let fetches = join_all((0..5).map(|_| rig.fails(&url)));
    let origin = async { drop(peer.accept_tls("h2").await) };
    let (names, ()) = tokio::join!(fetches, origin);
    assert!(
        names
            .iter()
            .all(|name| *name == ErrorName::HttpProtocolError),
        "{names:?}"
    );
    assert!(peer.nobody_waits());
    rig.finish().await;
}

#[tokio::test]
async fn a_refused_connection_is_told_to_all() {
    let peer = Peer::bind().await;
    let url = format!("https://{}/", peer.addr);
    drop(peer);
    let rig = Rig::new(config());
    for name in join_all((0..5).map(|_| rig.fails(&url))).await {
        assert_eq!(name, ErrorName::ConnectionRefused);
    }
    rig.finish().await;
}
