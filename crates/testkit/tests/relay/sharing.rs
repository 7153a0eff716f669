//! Sessions share lanes and origins fairly, whatever one of them does.

use fetchway_testkit::TestNode;
use serde_json::json;

use crate::origin;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_queued_fetches_do_not_hold_up_another_session() {
    let (node, origin) = (
        TestNode::open(&[("lanes.default.concurrency", "10")]),
        origin(),
    );
    let (mut busy, mut single) = (node.client().await, node.client().await);
    for id in 0..10_000 {
        // Fetches are queued in the order of their messages: the first ten hold every permit until
        // their gate opens.
        let key = if id < 10 { "first" } else { "rest" };
        busy.get(id, &origin.url(&format!("/gate?key={key}"))).await;
    }
    origin.wait_until(|stats| stats.in_flight == 10).await;
    node.until_lane(|lane| lane.queued == 9_990).await;
    single.get("single", &origin.url("/echo")).await;
    node.until_lane(|lane| lane.queued == 9_991).await;
    origin.open_gate("first").expect("few keys");
    assert_eq!(single.next().await["status"], 200);
    let done = origin.stats();
    assert!(
        done.requests <= 30,
        "its turn came among the next ones: {done:?}"
    );
    origin.open_gate("rest").expect("few keys");
    let answers = busy.answers(10_000).await;
    assert!(answers.values().all(|answer| answer["status"] == 200));
    assert!(origin.stats().peak_in_flight <= 10);
    drop((busy, single));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_reader_does_not_keep_the_permits() {
    for limit in ["lanes.default.concurrency", "origins.default.concurrency"] {
        let node = TestNode::open(&[(limit, "4"), ("relay.max-answers", "1MiB")]);
        let origin = origin();
        let (mut stalled, mut other) = (node.client().await, node.client().await);
        for id in 0..64 {
            stalled
                .get(id, &origin.url(&format!("/bytes?n=1048576&seed={id}")))
                .await;
        }
        // Its answers fill the sockets; then four bodies stand half-read, with a permit each.
        node.until_lane(|lane| lane.paused > 0).await;
        for id in 0..50 {
            let answer = other
                .ask(json!({ "id": id, "url": origin.url("/echo") }))
                .await;
            assert_eq!(answer["status"], 200, "{limit}");
        }
        for _ in 0..64 {
            let answer = stalled.next().await;
            let seed = answer["id"].as_u64().expect("a number");
            let body = answer["body"].as_str().expect("a text");
            assert!(
                fetchway_test_origins::filler(fetchway_test_origins::Kind::Text, seed, 1 << 20)
                    .matches(body.as_bytes())
            );
        }
        drop((stalled, other));
        node.stop().await;
    }
}
