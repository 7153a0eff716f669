//! The relay on its way out: what is answered is also written, as long as the grace lasts.

use std::time::Duration;

use fetchway_ws::Opcode;
use tokio::time::{Instant, sleep};

use super::{EndReason, LINK, Peer, relay, settled};

/// Longer than a session that closes waits for its last bytes to be taken.
const LONG: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(30);
/// Their answers are several times what the link holds.
const MESSAGES: usize = LINK / 25;

async fn ask(peer: &mut Peer) {
    for _ in 0..MESSAGES {
        peer.send(Opcode::Text, b"no JSON").await;
    }
    settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_every_answer_within_the_grace() {
    let relay = relay();
    let mut peer = Peer::connect(&relay);
    ask(&mut peer).await;
    let leaving = tokio::spawn({
        let relay = relay.clone();
        async move { relay.shutdown.drain(GRACE).await }
    });
    sleep(LONG).await;
    for _ in 0..MESSAGES {
        peer.answer().await;
    }
    assert_eq!(peer.close_code().await, 1001);
    assert_eq!(peer.ended.await.expect("no panic"), EndReason::Shutdown);
    assert!(leaving.await.expect("no panic"), "all was answered");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_cut_off_and_that_is_told() {
    let relay = relay();
    let mut peer = Peer::connect(&relay);
    ask(&mut peer).await;
    let began = Instant::now();
    assert!(
        !relay.shutdown.drain(GRACE).await,
        "some answers were not taken"
    );
    assert!(
        began.elapsed() <= GRACE + Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        (&mut peer.ended).await.expect("no panic"),
        EndReason::Shutdown
    );
}

#[tokio::test(start_paused = true)]
async fn quiet_sessions_are_closed_at_once() {
    let relay = relay();
    let mut peers: Vec<_> = (0..10).map(|_| Peer::connect(&relay)).collect();
    settled().await;
    let began = Instant::now();
    let leaving = tokio::spawn({
        let relay = relay.clone();
        async move { relay.shutdown.drain(GRACE).await }
    });
    for peer in &mut peers {
        assert_eq!(peer.close_code().await, 1001);
    }
    assert!(leaving.await.expect("no panic"));
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(relay.shutdown.drain(GRACE).await, "nobody is left");
}
