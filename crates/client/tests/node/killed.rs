//! A relay is gone from one moment to the next. Only the way to it is: what it has begun goes on, and
//! so the origin sees what is sent again.

use std::time::Duration;

use fetchway_client::{Body, Builder, Client, Error, ErrorName};
use fetchway_testkit::{PATIENCE, TestNode};
use http::{Method, Request, Response};
use http_body_util::Full;
use tokio::task::JoinHandle;

use crate::counting::{BODY, Counting};
use crate::proxy::Proxy;

const FETCHES: u32 = 200;

/// A fetch that is under way.
struct Fetch {
    path: String,
    method: Method,
    /// It is on the relay that is to be lost.
    doomed: bool,
    outcome: JoinHandle<Result<Response<Body>, Error>>,
}

/// Fetches that a node has under way.
fn busy(node: &TestNode) -> usize {
    let lanes = node.node().engine().lane_stats();
    lanes.iter().map(|lane| lane.in_flight).sum()
}

/// A PUT or POST, when it has reached the origin as the `at`th.
async fn begun(client: &Client, origin: &Counting, doomed: &TestNode, at: u32) -> Fetch {
    let before = busy(doomed);
    let method = [Method::PUT, Method::POST][(at % 2) as usize].clone();
    let path = format!("/{at}");
    let request = Request::builder()
        .method(&method)
        .uri(origin.url(&path))
        .body(Full::from(BODY))
        .expect("a request");
    let outcome = tokio::spawn(client.fetch(request));
    origin.until(at + 1).await;
    Fetch {
        path,
        method,
        doomed: busy(doomed) > before,
        outcome,
    }
}

async fn outcome(fetch: JoinHandle<Result<Response<Body>, Error>>) -> Result<(), Error> {
    let outcome = tokio::time::timeout(PATIENCE, fetch).await;
    let response = outcome.expect("none hangs").expect("no panic")?;
    let body = response.into_body().bytes(1 << 20).await?;
    assert_eq!(body, BODY);
    Ok(())
}

/// A client of the relay behind `way`, to which more can be added.
fn builder(way: &Proxy) -> Builder {
    let builder = Client::builder().relay(way.url());
    builder.resume_within(Duration::from_millis(500))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idempotent_fetches_complete_elsewhere_and_the_others_are_of_unknown_outcome() {
    let origin = Counting::start().await;
    let (doomed, other) = (TestNode::open(&[]), TestNode::open(&[]));
    let way = Proxy::start(doomed.addr()).await;
    let builder = builder(&way).relay(format!("ws://{}/", other.addr()));
    let client = builder.build().expect("a client");
    client.connect().await.expect("a relay");
    let mut fetches = Vec::new();
    // Until the doomed relay is there the other has them all.
    while fetches.iter().filter(|fetch: &&Fetch| fetch.doomed).count() < 20 {
        fetches.push(begun(&client, &origin, &doomed, fetches.len() as u32).await);
    }
    for at in fetches.len() as u32..FETCHES {
        fetches.push(begun(&client, &origin, &doomed, at).await);
    }
    let total = fetches.len() as u32;
    way.kill();
    let again = |fetch: &&Fetch| fetch.doomed && fetch.method == Method::PUT;
    let again = fetches.iter().filter(again).count() as u32;
    origin.until(total + again).await;
    origin.open();
    for fetch in fetches {
        let Fetch { path, method, .. } = fetch;
        let outcome = outcome(fetch.outcome).await;
        let times = match (fetch.doomed, &method) {
            (true, &Method::POST) => {
                let error = outcome.expect_err("nobody knows");
                assert_eq!(error.name, ErrorName::OutcomeUnknown, "{method} {path}");
                1
            }
            (true, _) => {
                outcome.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
                2
            }
            (false, _) => {
                outcome.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
                1
            }
        };
        assert_eq!(origin.seen(&path), times, "{method} {path}");
    }
    println!("{again} of {total} were sent again");
    assert!(client.close(PATIENCE).await);
    other.stop().await;
    doomed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_another_relay_every_outcome_is_unknown() {
    let origin = Counting::start().await;
    let doomed = TestNode::open(&[]);
    let way = Proxy::start(doomed.addr()).await;
    let builder = builder(&way).queue(1_000, Duration::from_secs(2));
    let client = builder.build().expect("a client");
    let mut fetches = Vec::new();
    for at in 0..FETCHES / 10 {
        fetches.push(begun(&client, &origin, &doomed, at).await);
    }
    way.kill();
    for fetch in fetches {
        let Fetch { path, method, .. } = fetch;
        let error = outcome(fetch.outcome).await.expect_err("nobody knows");
        assert_eq!(error.name, ErrorName::OutcomeUnknown, "{method} {path}");
        assert_eq!(origin.seen(&path), 1, "{method} {path}");
    }
    assert!(client.close(PATIENCE).await, "nothing is left");
    origin.open();
    doomed.stop().await;
}
