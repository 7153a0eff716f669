//! A session's limits: each has a named refusal, leaves the connection open and loses nothing.

use fetchway_testkit::TestNode;
use serde_json::json;

use crate::{failure, origin};

#[tokio::test]
async fn beyond_the_flight_limit_fetches_wait_and_beyond_the_queue_they_are_refused() {
    let node = TestNode::open(&[("relay.max-in-flight", "2"), ("relay.max-queued", "3")]);
    let origin = origin();
    let mut client = node.client().await;
    for id in 0..8 {
        client.get(id, &origin.url("/gate?key=k&n=8")).await;
    }
    let mut refused = Vec::new();
    for _ in 0..3 {
        let answer = client.next().await;
        assert_eq!(failure(&answer), "queue_full");
        refused.push(answer["id"].as_u64());
    }
    assert_eq!(refused, [Some(5), Some(6), Some(7)]);
    origin.wait_until(|stats| stats.in_flight == 2).await;
    // Another session's places are its own.
    let mut other = node.client().await;
    assert_eq!(other.fetch(&origin.url("/echo")).await["status"], 200);
    origin.open_gate("k").expect("few keys");
    let answers = client.answers(5).await;
    assert!((0..5).all(|id| answers[&id.to_string()]["status"] == 200));
    // Two of its own, and the other session's.
    assert!(origin.stats().peak_in_flight <= 3);
    assert_eq!(client.fetch(&origin.url("/echo")).await["status"], 200);
    drop((client, other));
    node.stop().await;
}

#[tokio::test]
async fn bytes_that_wait_are_bounded() {
    let node = TestNode::open(&[
        ("relay.max-in-flight", "1"),
        ("relay.max-queued-bytes", "64KiB"),
    ]);
    let origin = origin();
    let mut client = node.client().await;
    client.get("first", &origin.url("/gate?key=k")).await;
    origin.wait_until(|stats| stats.in_flight == 1).await;
    let body = "x".repeat(20_000);
    for id in 0..4 {
        client
            .send(json!({ "id": id, "method": "POST", "url": origin.url("/upload"), "body": body }))
            .await;
    }
    assert_eq!(failure(&client.next().await), "queue_full");
    // A small one still has room.
    client.get("small", &origin.url("/echo")).await;
    origin.open_gate("k").expect("few keys");
    let answers = client.answers(5).await;
    assert!(
        answers.values().all(|answer| answer["status"] == 200),
        "{answers:?}"
    );
    assert_eq!(origin.stats().bytes_received, 60_000);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_lane_that_is_full_refuses_by_name() {
    let node = TestNode::open(&[
        ("lanes.default.concurrency", "1"),
        // A session takes at most as many places as it leaves to others.
        ("lanes.default.queue-count", "4"),
        ("lanes.short.concurrency", "1"),
        ("lanes.short.queue-wait", "50ms"),
    ]);
    let origin = origin();
    let mut client = node.client().await;
    client.get(0, &origin.url("/gate?key=k")).await;
    origin.wait_until(|stats| stats.in_flight == 1).await;
    for id in 1..=3 {
        client.get(id, &origin.url("/echo")).await;
    }
    assert_eq!(failure(&client.next().await), "queue_full");
    for id in 10..12 {
        client
            .send(json!({ "id": id, "url": origin.url("/gate?key=k"), "lane": "short" }))
            .await;
    }
    assert_eq!(failure(&client.next().await), "queue_timeout");
    origin.open_gate("k").expect("few keys");
    let answers = client.answers(4).await;
    assert!(
        answers.values().all(|answer| answer["status"] == 200),
        "{answers:?}"
    );
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_token_has_limits_of_its_own() {
    let toml = "guard.allow-net = ['127.0.0.0/8']\n\
                [[tokens]]\nname = 'ann'\ntoken = 'ta'\nlimits = { max-in-flight = 1, max-queued = 1 }\n\
                [[tokens]]\nname = 'bob'\ntoken = 'tb'\n";
    let (node, origin) = (TestNode::configured("127.0.0.1:0", toml), origin());
    let (mut ann, mut bob) = (node.client_with("ta").await, node.client_with("tb").await);
    for client in [&mut ann, &mut bob] {
        for id in 0..3 {
            client.get(id, &origin.url("/gate?key=k")).await;
        }
    }
    let answer = ann.next().await;
    assert_eq!((failure(&answer), &answer["id"]), ("queue_full", &json!(2)));
    origin.wait_until(|stats| stats.in_flight == 4).await;
    origin.open_gate("k").expect("few keys");
    assert!(
        ann.answers(2)
            .await
            .values()
            .all(|answer| answer["status"] == 200)
    );
    assert!(
        bob.answers(3)
            .await
            .values()
            .all(|answer| answer["status"] == 200)
    );
    drop((ann, bob));
    node.stop().await;
}
