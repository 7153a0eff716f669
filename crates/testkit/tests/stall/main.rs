//! A reader that stops while 1,000 answers of 1 MiB wait for it, over HTTP/1.1 and over HTTP/2.
//!
//! A binary of its own, and one test after the other, so that the process's memory says something:
//! it holds the node, the origin and both clients. Stalled is "has read nothing until the other
//! session was done", as a test has no business with the clock.

mod memory;

use std::path::Path;

use fetchway_test_origins::{Kind, TestOrigin, filler};
use fetchway_testkit::{Client, TestNode};
use serde_json::json;

use memory::{MIB, Memory};

const ANSWERS: u64 = 1_000;
const SIZE: u64 = MIB;
/// Fetches of the session that reads, while the other does not.
const BESIDE: u64 = 200;

/// `fetch.body-budget`.
const BUDGET: u64 = 64 * MIB;
/// `relay.max-answers`.
const SESSION: u64 = 16 * MIB;
/// What an origin's stream or connection may hold before the relay reads on, for each of the
/// fetches that wait: one HTTP/2 window (128 KiB) or one HTTP/1.1 buffer (64 KiB).
const UNREAD: u64 = ANSWERS * (128 << 10);
/// The answers in the relay's budget, what stands unread in front of it, and this much for all else
/// in the process: tasks, connections of both sides, what the allocator keeps.
const BOUND: u64 = SESSION + UNREAD + 112 * MIB;

fn node(ca: Option<&Path>) -> TestNode {
    let ca = ca.map_or_else(String::new, |ca| {
        format!("fetch.ca-file = '{}'", ca.display())
    });
    TestNode::configured(
        "127.0.0.1:0",
        &format!(
            "{ca}\n\
             guard.allow-net = ['127.0.0.0/8']\n\
             fetch.body-budget = '{}MiB'\n\
             relay.max-answers = '{}MiB'",
            BUDGET / MIB,
            SESSION / MIB
        ),
    )
}

async fn stall(node: TestNode, origin: &TestOrigin) {
    let (mut stalled, mut other) = (node.client().await, node.client().await);
    let memory = Memory::now();
    let engine = node.node().engine().clone();
    for id in 0..ANSWERS {
        stalled
            .get(id, &origin.url(&format!("/bytes?n={SIZE}&seed={id}")))
            .await;
    }
    // Every request is out, and more has been sent than the relay may hold.
    origin
        .wait_until(|stats| stats.requests == ANSWERS && stats.bytes_sent > SESSION + 32 * MIB)
        .await;
    for id in 0..BESIDE {
        let url = origin.url(&format!("/bytes?n=65536&seed={id}"));
        let answer = other.ask(json!({ "id": id, "url": url })).await;
        check(&answer, id, 65_536);
        let used = engine.budget_used();
        assert!(
            used <= SESSION + SIZE + 512 + BUDGET / 2,
            "{used} bytes are held"
        );
        memory.within(BOUND);
    }
    let waiting = engine.lane_stats()[0];
    assert!(
        waiting.in_flight as u64 > ANSWERS / 2,
        "it is stalled still: {waiting:?}"
    );
    all_arrive(&mut stalled).await;
    memory.within(BOUND);
    assert_eq!(origin.stats().aborted, 0);
    drop((stalled, other));
    node.stop().await;
}

async fn all_arrive(stalled: &mut Client) {
    let mut missing: Vec<bool> = vec![true; ANSWERS as usize];
    for _ in 0..ANSWERS {
        let answer = stalled.next().await;
        let id = answer["id"].as_u64().expect("a number");
        assert!(std::mem::take(&mut missing[id as usize]), "{id} came twice");
        check(&answer, id, SIZE);
    }
}

#[track_caller]
fn check(answer: &serde_json::Value, seed: u64, len: u64) {
    assert_eq!(answer["status"], 200, "{}", answer["error"]);
    let body = answer["body"].as_str().expect("a text");
    assert!(
        filler(Kind::Text, seed, len).matches(body.as_bytes()),
        "the body of {seed}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_reader_costs_the_others_nothing() {
    let origin = TestOrigin::builder().start().expect("a free port");
    stall(node(None), &origin).await;

    let origin = TestOrigin::builder().tls().start().expect("a free port");
    let ca = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ca-of-stall.pem");
    let pem = origin.certificate().expect("it speaks TLS").ca_pem();
    std::fs::write(&ca, pem).expect("a temporary file");
    stall(node(Some(&ca)), &origin).await;
    let stats = origin.stats();
    assert!(
        stats.connections <= 15,
        "a hundred streams on each, and the other's: {stats:?}"
    );
}
