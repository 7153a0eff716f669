//! A node that is told to end, as its clients see it. The binary's tests send it the signals.

use std::net::SocketAddr;

use fetchway_node::Ended;
use fetchway_testkit::{Client, TestNode, http};
use serde_json::json;

use crate::{failure, origin};

/// Returns when the node says that it takes no new sessions.
async fn draining(admin: SocketAddr) {
    while http(admin, "GET /ready HTTP/1.1").await.0 != 503 {}
}

#[tokio::test]
async fn what_is_in_flight_is_answered_and_the_rest_is_refused_by_name() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut client, mut idle) = (node.client().await, node.client().await);
    for id in 0..20 {
        client.get(id, &origin.url("/gate?key=k&n=8")).await;
    }
    origin.wait_until(|stats| stats.in_flight == 20).await;
    let (addr, admin) = (node.addr(), node.admin());
    let stopping = tokio::spawn(node.stop());
    draining(admin).await;
    assert_eq!(
        idle.close_code().await,
        1001,
        "nothing holds an idle session"
    );
    drop(idle);
    let answer = client.fetch(&origin.url("/echo")).await;
    assert_eq!(failure(&answer), "destination_unavailable");
    client.send("no JSON").await;
    assert_eq!(client.next().await["error"], "Invalid JSON in request");
    client.send(json!({ "cancel": 19 })).await;
    assert_eq!(failure(&client.next().await), "cancelled");
    assert!(
        Client::try_connect(&format!("ws://{addr}/"), &[])
            .await
            .is_err()
    );
    origin.open_gate("k").expect("few keys");
    let answers = client.answers(19).await;
    assert!(
        answers.values().all(|answer| answer["status"] == 200),
        "{answers:?}"
    );
    assert_eq!(client.close_code().await, 1001);
    drop(client);
    assert_eq!(stopping.await.expect("no panic"), Ended::Drained);
    assert_eq!(origin.stats().requests, 20);
}

#[tokio::test]
async fn what_outlasts_the_grace_is_cut_and_that_is_said() {
    let (node, origin) = (TestNode::open(&[("shutdown.grace", "50ms")]), origin());
    let mut client = node.client().await;
    client.get(1, &origin.url("/gate?key=never")).await;
    origin.wait_until(|stats| stats.in_flight == 1).await;
    let stopping = tokio::spawn(node.stop());
    assert_eq!(client.close_code().await, 1001);
    drop(client);
    assert_eq!(stopping.await.expect("no panic"), Ended::GraceOver);
    origin.wait_until(|stats| stats.aborted == 1).await;
}

#[tokio::test]
async fn answers_that_wait_for_a_slow_reader_are_part_of_what_is_in_flight() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    for id in 0..12 {
        client.get(id, &origin.url("/bytes?n=2097152")).await;
    }
    // All are fetched; more than the sockets take has yet to be written.
    origin.wait_until(|stats| stats.completed == 12).await;
    let admin = node.admin();
    let stopping = tokio::spawn(node.stop());
    draining(admin).await;
    assert_eq!(client.answers(12).await.len(), 12);
    assert_eq!(client.close_code().await, 1001);
    drop(client);
    assert_eq!(stopping.await.expect("no panic"), Ended::Drained);
}
