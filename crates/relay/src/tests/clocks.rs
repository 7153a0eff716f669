//! Pings, the idle timeout, and the limit for a client that takes nothing.

use std::time::Duration;

use fetchway_service::Limits;
use fetchway_ws::{Event, Opcode};
use tokio::time::{Instant, sleep};

use super::{EndReason, LINK, Peer, relay};

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_pinged_and_closed_after_the_idle_timeout() {
    let (relay, limits) = (relay(), Limits::default());
    let mut peer = Peer::connect(&relay);
    let began = Instant::now();
    let mut pings = 0;
    let close = loop {
        match peer.next().await.expect("a frame") {
            Event::Ping(_) => pings += 1,
            other => break other,
        }
    };
    let silent = began.elapsed();
    assert!(matches!(close, Event::Close(1008, _)), "{close:?}");
    assert!(
        silent >= limits.idle_timeout && silent <= limits.idle_timeout + limits.ping_interval,
        "{silent:?}"
    );
    assert!(pings >= 2, "{pings}");
    assert_eq!(peer.ended.await.expect("no panic"), EndReason::Idle);
}

#[tokio::test(start_paused = true)]
async fn pongs_keep_a_session_for_as_long_as_they_come() {
    let relay = relay();
    let mut peer = Peer::connect(&relay);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(24 * 60 * 60) {
        match peer.next().await {
            Some(Event::Ping(payload)) => peer.send(Opcode::Pong, &payload).await,
            other => panic!("no ping: {other:?}"),
        }
    }
    assert!(!peer.ended.is_finished());
}

/// Sends so much that the answers fill the link several times.
async fn fill(peer: &mut Peer) {
    for _ in 0..LINK / 20 {
        peer.send(Opcode::Text, b"no JSON").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_cut_off_at_its_own_limit() {
    let (relay, limits) = (relay(), Limits::default());
    let mut peer = Peer::connect(&relay);
    fill(&mut peer).await;
    let began = Instant::now();
    // It is silent for longer than the idle timeout, but may just not have come to reading.
    sleep(limits.write_stall - Duration::from_secs(1)).await;
    assert!(limits.write_stall > limits.idle_timeout && !peer.ended.is_finished());
    assert_eq!(
        (&mut peer.ended).await.expect("no panic"),
        EndReason::Stalled
    );
    assert!(
        began.elapsed() <= limits.write_stall + Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_borne_with() {
    let (relay, limits) = (relay(), Limits::default());
    let mut peer = Peer::connect(&relay);
    fill(&mut peer).await;
    for _ in 0..10 {
        sleep(limits.write_stall - Duration::from_secs(1)).await;
        // More than the peer's own buffer holds, so that the link has room again.
        for _ in 0..200 {
            peer.answer().await;
        }
    }
    assert!(!peer.ended.is_finished());
}
