//! Clocks of sockets and of parked sessions, and the bounds of these.

use std::time::Duration;

use fetchway_service::Limits;
use fetchway_wire::v1::{Frame, Hello};
use fetchway_ws::Event;
use tokio::time::Instant;

use super::{Peer, asking, failing, relay};

#[tokio::test(start_paused = true)]
async fn one_that_says_nothing_is_closed_after_ten_seconds() {
    let (relay, _ended) = relay();
    let began = Instant::now();
    let mut peer = Peer::connect(&relay, |_| {});
    assert!(matches!(peer.next().await, Event::Close(4401, _)));
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn one_that_answers_no_ping_is_closed_parked_and_expires() {
    let (relay, mut ended) = relay();
    let limits = Limits::default();
    let mut peer = Peer::connect(&relay, |_| {});
    let hello = peer.hello(Hello::default()).await;
    let began = Instant::now();
    let mut pings = 0;
    loop {
        match peer.next().await {
            Event::Ping(_) => pings += 1,
            Event::Close(code, _) => break assert_eq!(code, 4408),
            _ => {}
        }
    }
    let silent = began.elapsed();
    assert!(silent >= limits.idle_timeout && silent <= limits.idle_timeout + limits.ping_interval);
    assert!(pings >= 2, "{pings}");
    drop(peer);
    // Within the time it can be had back, and its time begins anew.
    tokio::time::sleep(limits.binary.resume_within / 2).await;
    let mut again = Peer::connect(&relay, |_| {});
    let resumed = again.hello(asking(hello.token)).await;
    assert!(resumed.received.is_some());
    drop(again);
    let parked = Instant::now();
    assert_eq!(ended.recv().await, Some("expired"));
    assert!(parked.elapsed() >= limits.binary.resume_within);
    let mut late = Peer::connect(&relay, |_| {});
    assert!(late.hello(asking(resumed.token)).await.received.is_none());
}

#[tokio::test(start_paused = true)]
async fn of_too_many_parked_sessions_the_oldest_ends() {
    let (relay, mut ended) = relay();
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let mut peer = Peer::connect(&relay, |limits| limits.binary.parked = 2);
        tokens.push(peer.hello(Hello::default()).await.token);
        drop(peer);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(ended.recv().await, Some("evicted"));
    for (token, there) in tokens.into_iter().zip([false, true, true]) {
        let mut peer = Peer::connect(&relay, |limits| limits.binary.parked = 2);
        assert_eq!(peer.hello(asking(token)).await.received.is_some(), there);
    }
}

#[tokio::test(start_paused = true)]
async fn parked_sessions_are_bounded_in_bytes() {
    let (relay, mut ended) = relay();
    let mut peer = Peer::connect(&relay, |limits| limits.binary.parked_bytes = 100);
    peer.hello(Hello::default()).await;
    for stream in 1..=2 {
        peer.send(failing(stream)).await;
        while !matches!(peer.frame().await, Frame::Reset { .. }) {}
    }
    // Two unacknowledged frames are more than it may leave behind.
    drop(peer);
    assert_eq!(ended.recv().await, Some("evicted"));
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_leaves_waits_for_no_parked_session() {
    let (relay, mut ended) = relay();
    let mut parked = Peer::connect(&relay, |_| {});
    parked.hello(Hello::default()).await;
    drop(parked);
    let mut idle = Peer::connect(&relay, |_| {});
    idle.hello(Hello::default()).await;
    let began = Instant::now();
    let (left, going, closed) = tokio::join!(
        relay.shutdown.drain(Duration::from_secs(30)),
        async {
            loop {
                if let Frame::GoingAway(going) = idle.frame().await {
                    break going;
                }
            }
        },
        ended.recv()
    );
    assert!(left && going.last == 0, "{going:?}");
    assert_eq!(
        (closed, ended.recv().await),
        (Some("shutdown"), Some("shutdown"))
    );
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_leaves_waits_for_none_that_says_nothing() {
    let (relay, mut ended) = relay();
    let mut silent = Peer::connect(&relay, |_| {});
    super::settled().await;
    let began = Instant::now();
    let (left, code) = tokio::join!(
        relay.shutdown.drain(Duration::from_secs(30)),
        silent.close_code()
    );
    assert!(left && code == 1001, "{code}");
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(ended.try_recv().is_err(), "there was no session");
}
