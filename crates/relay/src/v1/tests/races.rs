//! Sockets at the same time, on several threads.

use std::sync::Arc;
use std::time::Duration;

use fetchway_service::Limits;
use fetchway_wire::v1::{Frame, Hello};
use fetchway_ws::Event;
use futures_util::future::join_all;
use tokio::sync::Barrier;

use super::{Peer, asking, relay};
use crate::Relay;

const ROUNDS: usize = 40;
const SESSIONS: usize = 16;
const SOCKETS: usize = 4;

/// A hang is a failure after so long.
const PATIENCE: Duration = Duration::from_secs(30);

fn connect(relay: &Relay) -> Peer {
    Peer::connect(relay, |limits: &mut Limits| {
        limits.binary.resume_within = Duration::from_millis(5);
    })
}

/// Asks for a session's return when all others do. Whether it was told that it has been replaced.
async fn ask(mut peer: Peer, asked: Hello, barrier: Arc<Barrier>) -> (Peer, bool) {
    barrier.wait().await;
    peer.send(Frame::Hello(asked)).await;
    let replaced = match peer.next().await {
        Event::Message(_) => false,
        Event::Close(code, _) => {
            assert_eq!(code, 4409);
            true
        }
        other => panic!("{other:?}"),
    };
    (peer, replaced)
}

/// Several sockets ask for one session at once: one of them has it, each other is told that it has not,
/// and when all are lost the session ends in its time, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_session_that_many_ask_for_at_once_is_ones() {
    let (relay, mut ended) = relay();
    for round in 0..ROUNDS {
        // Many sessions, so that their sockets are in each other's way.
        let barrier = Arc::new(Barrier::new(SESSIONS * SOCKETS));
        let mut first = Vec::new();
        let mut asking_all = Vec::new();
        for _ in 0..SESSIONS {
            let mut peer = connect(&relay);
            let hello = peer.hello(Hello::default()).await;
            first.push(peer);
            let asked = asking(hello.token);
            let sockets = (0..SOCKETS)
                .map(|_| tokio::spawn(ask(connect(&relay), asked.clone(), barrier.clone())));
            asking_all.push(sockets.collect::<Vec<_>>());
        }
        let mut peers = Vec::new();
        for sockets in asking_all {
            let told = tokio::time::timeout(PATIENCE, join_all(sockets)).await;
            let told = told.unwrap_or_else(|_| panic!("round {round}: a socket is told nothing"));
            let told: Vec<(Peer, bool)> = told
                .into_iter()
                .map(|told| told.expect("no panic"))
                .collect();
            assert!(
                told.iter().any(|(_, replaced)| !replaced),
                "round {round}: nobody has the session"
            );
            peers.push(told);
        }
        drop((first, peers));
        for _ in 0..SESSIONS {
            let why = tokio::time::timeout(PATIENCE, ended.recv()).await;
            let why = why.unwrap_or_else(|_| panic!("round {round}: a session never ends"));
            assert_eq!(why, Some("expired"), "round {round}");
        }
    }
    assert!(relay.shutdown.drain(PATIENCE).await);
    assert!(ended.try_recv().is_err(), "each ended once");
}
