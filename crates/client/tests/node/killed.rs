//! A relay is gone from one moment to the next.

use std::time::Duration;

use bytes::Bytes;
use fetchway_client::{Client, ErrorName};
use fetchway_lab::{Kind, Origin, filler};
use fetchway_testkit::{PATIENCE, TestNode};
use http::{Method, Request};
use http_body_util::Full;

use crate::proxy::Proxy;

const FETCHES: usize = 200;

/// Fetches that a node has under way.
fn busy(node: &TestNode) -> usize {
    let lanes = node.node().engine().lane_stats();
    lanes.iter().map(|lane| lane.in_flight).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idempotent_fetches_complete_elsewhere_and_the_others_are_of_unknown_outcome() {
    let origin = Origin::builder().start().expect("an origin");
    let (doomed, other) = (TestNode::open(&[]), TestNode::open(&[]));
    let way = Proxy::start(doomed.addr()).await;
    let client = Client::builder()
        .relay(way.url())
        .relay(format!("ws://{}/", other.addr()))
        .resume_within(Duration::from_millis(500))
        .build()
        .expect("a client");
    client.connect().await.expect("a relay");
    let url = origin.url("/gate?key=all&n=1000&seed=3");
    let mut fetches = Vec::new();
    let begin = |at: usize| {
        let method = if at.is_multiple_of(2) {
            Method::PUT
        } else {
            Method::POST
        };
        let request = Request::builder().method(&method).uri(&url);
        let request = request
            .body(Full::from(Bytes::from_static(b"body")))
            .expect("a request");
        (method, tokio::spawn(client.fetch(request)))
    };
    // Until the doomed relay is there the other has them all. The origin shows when each has arrived.
    while busy(&doomed) == 0 {
        fetches.push(begin(fetches.len()));
        let begun = fetches.len() as u64;
        origin.wait_until(|stats| stats.in_flight >= begun).await;
    }
    let first = fetches.len();
    fetches.extend((first..first + FETCHES).map(begin));
    let total = fetches.len();
    origin
        .wait_until(|stats| stats.in_flight >= total as u64)
        .await;
    way.kill();
    // The doomed node cannot know: it goes on, and so the origin sees what is sent again.
    let again = origin.wait_until(|stats| stats.requests > total as u64);
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("some are sent again");
    origin.open_gate("all").expect("a gate");
    let mut unknown = 0;
    for (method, fetch) in fetches {
        let outcome = tokio::time::timeout(PATIENCE, fetch)
            .await
            .expect("none hangs");
        match outcome.expect("no panic") {
            Ok(response) => {
                let body = response.into_body().bytes(1 << 20).await.expect("a body");
                assert!(filler(Kind::Text, 3, 1_000).matches(&body));
            }
            Err(error) => {
                assert_eq!(
                    (error.name, method),
                    (ErrorName::OutcomeUnknown, Method::POST)
                );
                unknown += 1;
            }
        }
    }
    println!("{unknown} of {total} are of unknown outcome");
    assert!((1..=total / 2).contains(&unknown));
    client.close(PATIENCE).await;
    other.stop().await;
}
