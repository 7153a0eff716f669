//! How many sessions a credential may have: a place is the session's, whatever its sockets are.

use fetchway_service::Places;
use fetchway_wire::v1::{Frame, Hello};
use fetchway_ws::Opcode;

use super::{Peer, asking, failing, places, principal, relay, settled};
use crate::Relay;

fn connect(relay: &Relay, places: &Places) -> Peer {
    let mut principal = principal(|_| {});
    principal.places = places.clone();
    Peer::on_behalf(relay, principal)
}

#[tokio::test(start_paused = true)]
async fn a_resumed_session_keeps_its_place() {
    let (relay, _ended) = relay();
    let places = places(1, 8);
    let mut peer = connect(&relay, &places);
    let mut token = peer.hello(Hello::default()).await.token;
    for cut in [true, false, true] {
        if cut {
            drop(peer);
            settled().await;
            peer = connect(&relay, &places);
            let resumed = peer.hello(asking(token)).await;
            assert!(resumed.received.is_some(), "{:?}", resumed.refused);
            token = resumed.token;
        } else {
            // Before the relay has noticed that the socket is lost.
            let mut next = connect(&relay, &places);
            let resumed = next.hello(asking(token)).await;
            assert!(resumed.received.is_some(), "{:?}", resumed.refused);
            (token, peer) = (resumed.token, next);
        }
        assert_eq!(places.free().sessions, 0);
    }
    drop(peer);
    settled().await;
    assert_eq!(places.free().sockets, 8, "all have ended");
}

#[tokio::test(start_paused = true)]
async fn a_session_too_many_is_refused() {
    let (relay, mut ended) = relay();
    let places = places(1, 8);
    let mut one = connect(&relay, &places);
    one.hello(Hello::default()).await;
    let mut two = connect(&relay, &places);
    two.send(Frame::Hello(Hello::default())).await;
    assert_eq!(two.close_code().await, 4430);
    assert_eq!(ended.try_recv(), Ok("refused"));
    // Its farewell makes room before it is answered.
    one.send_as(Opcode::Close, &1000_u16.to_be_bytes()).await;
    assert_eq!(one.close_code().await, 1000);
    assert_eq!(places.free().sessions, 1);
    let mut three = connect(&relay, &places);
    three.hello(Hello::default()).await;
    drop((one, two, three));
    settled().await;
    assert_eq!(places.free().sockets, 8);
}

#[tokio::test(start_paused = true)]
async fn a_new_session_displaces_the_oldest_parked_one() {
    let (relay, mut ended) = relay();
    let places = places(2, 8);
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let mut peer = connect(&relay, &places);
        tokens.push(peer.hello(Hello::default()).await.token);
        drop(peer);
        settled().await;
    }
    let mut new = connect(&relay, &places);
    assert!(new.hello(Hello::default()).await.token.is_some());
    assert_eq!(ended.recv().await, Some("evicted"));
    // The younger one is still there. The older one's client gets a new session, at its cost no more:
    // that has a socket now.
    let mut second = connect(&relay, &places);
    assert!(second.hello(asking(tokens[1])).await.received.is_some());
    let mut first = connect(&relay, &places);
    first.send(Frame::Hello(asking(tokens[0]))).await;
    assert_eq!(first.close_code().await, 4430);
    assert_eq!(ended.try_recv(), Ok("refused"));
    second.send(failing(1)).await;
    while !matches!(second.frame().await, Frame::Reset { stream: 1, .. }) {}
    assert!(ended.try_recv().is_err());
}

/// Sockets that were replaced close in their own time, and someone who replaces many is bounded.
#[tokio::test(start_paused = true)]
async fn replaced_sockets_count_as_such_without_a_session() {
    let (relay, _ended) = relay();
    let places = places(1, 3);
    let mut peers = Vec::new();
    let mut peer = connect(&relay, &places);
    let mut token = peer.hello(Hello::default()).await.token;
    for replaced in 1..=3 {
        peers.push(peer);
        peer = connect(&relay, &places);
        token = peer.hello(asking(token)).await.token;
        assert_eq!(places.free().sockets, 3 - replaced);
    }
    for mut replaced in peers {
        assert_eq!(replaced.close_code().await, 4409);
        let before = places.free().sockets;
        replaced
            .send_as(Opcode::Close, &4409_u16.to_be_bytes())
            .await;
        settled().await;
        assert_eq!(places.free().sockets, before + 1);
    }
}
