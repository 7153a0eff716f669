//! Batches over a session, at a real node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fetchway_client::{
    Batch, BatchItem, BatchOptions, By, Client, Encoding, Error, ErrorName, Options, Outcome,
};
use fetchway_test_origins::TestOrigin;
use fetchway_testkit::{PATIENCE, TestNode};
use futures_util::{Stream, StreamExt as _, stream};

use crate::proxy::Proxy;

const ITEMS: u64 = 10_000;
const RATE: u32 = 5_000;

fn origin() -> TestOrigin {
    TestOrigin::builder().start().expect("an origin")
}

fn client(node: &TestNode) -> Client {
    let relay = format!("ws://{}/", node.addr());
    Client::builder().relay(relay).build().expect("a client")
}

/// GETs of `url`, its `{}` replaced by each one's number.
fn items(url: &str, count: u64) -> impl Stream<Item = BatchItem> + Send + use<> {
    let url = url.to_owned();
    stream::iter(0..count).map(move |n| {
        let url = url.replace("{}", &n.to_string());
        BatchItem::get(&url).expect("a URL")
    })
}

async fn next(batch: &mut Batch) -> Option<Result<Outcome, Error>> {
    let next = tokio::time::timeout(PATIENCE, batch.next());
    next.await.expect("an outcome, or the end")
}

/// The outcomes until nothing more comes; whatever failed is no outcome here.
async fn rest(batch: &mut Batch) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    while let Some(outcome) = next(batch).await {
        outcomes.push(outcome.expect("an outcome"));
    }
    outcomes
}

async fn error(mut batch: Batch) -> Error {
    let refused = next(&mut batch).await.expect("a refusal");
    let refused = refused.expect_err("a refusal");
    assert!(next(&mut batch).await.is_none(), "nothing comes after it");
    refused
}

/// Each index once, and in order if that is asked for.
#[track_caller]
fn all_once(outcomes: &[Outcome], count: u64, ordered: bool) {
    let mut indexes: Vec<u64> = outcomes.iter().map(|outcome| outcome.index).collect();
    if !ordered {
        indexes.sort_unstable();
    }
    assert!(indexes.into_iter().eq(0..count));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_items_at_their_rate_and_in_their_order() {
    let (origin, node) = (origin(), TestNode::open(&[]));
    let client = client(&node);
    let options = BatchOptions::default().rate(RATE, Duration::from_secs(1));
    for ordered in [false, true] {
        let options = if ordered { options.ordered() } else { options };
        let mut batch = client.batch(options, items(&origin.url("/echo?n={}"), ITEMS));
        let outcomes = rest(&mut batch).await;
        all_once(&outcomes, ITEMS, ordered);
        for outcome in &outcomes {
            let response = outcome.result.as_ref().expect("a response");
            let seen: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
            assert_eq!(seen["query"], format!("n={}", outcome.index));
            assert_eq!((response.status().as_u16(), outcome.attempts), (200, 1));
        }
        // The schedule is absolute: however late a fetch is, its slot stands.
        let slots = outcomes.iter().filter_map(|it| it.timing.scheduled);
        let took = slots
            .clone()
            .max()
            .expect("some")
            .duration_since(slots.min().expect("some"));
        let least = Duration::from_secs(1) * u32::try_from(ITEMS - 1).expect("few") / RATE;
        let took = took.expect("in order") + Duration::from_millis(1);
        assert!(took >= least, "{took:?}");
    }
    assert_eq!(origin.stats().requests, 2 * ITEMS);
    assert!(client.close(PATIENCE).await);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_stops_its_batches_and_nothing_else() {
    let origin = origin();
    let node = TestNode::open(&[("relay.max-answers", "1MiB")]);
    let client = client(&node);
    let given = Arc::new(AtomicU64::new(0));
    // Long ones fill what is read ahead.
    let url = origin.url(&format!("/bytes?n=1000&seed={{}}&{}", "x".repeat(500)));
    let rate = BatchOptions::default().rate(RATE, Duration::from_secs(1));
    let mut batches = [rate, rate.ordered()].map(|options| {
        let given = Arc::clone(&given);
        let items = items(&url, ITEMS).inspect(move |_| {
            given.fetch_add(1, Ordering::Relaxed);
        });
        client.batch(options, items)
    });
    let mut firsts = Vec::new();
    for batch in &mut batches {
        firsts.push(next(batch).await.expect("one").expect("an outcome"));
    }
    // The budgets of both are full of outcomes that nobody takes.
    let full = async {
        while node.node().engine().budget_used() < 1_800 << 10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, full)
        .await
        .expect("they fill");
    // Meanwhile the session serves others.
    for n in 0..100 {
        let response = client.get(&origin.url(&format!("/echo?{n}"))).await;
        assert_eq!(response.expect("a response").status(), 200);
    }
    let used = node.node().engine().budget_used();
    assert!(used < 3 << 20, "{used} bytes are held");
    let sent = origin.stats().requests;
    assert!(sent < 2 * ITEMS, "{sent} were sent though none is taken");
    assert!(
        given.load(Ordering::Relaxed) < 2 * ITEMS,
        "the upload is held up"
    );
    for ((batch, first), ordered) in batches.iter_mut().zip(firsts).zip([false, true]) {
        let mut outcomes = vec![first];
        outcomes.extend(rest(batch).await);
        all_once(&outcomes, ITEMS, ordered);
    }
    assert_eq!(given.load(Ordering::Relaxed), 2 * ITEMS);
    assert!(client.close(PATIENCE).await);
    node.stop().await;
}

#[tokio::test]
async fn a_batch_that_is_dropped_ends_all_that_is_under_way() {
    let (origin, node) = (origin(), TestNode::open(&[("batch.max-at-once", "1")]));
    let client = client(&node);
    let url = origin.url("/echo?{}");
    let held = origin.url("/gate?key=shut");
    let endless = items(&url, 100)
        .chain(stream::iter(0..).map(move |_| BatchItem::get(&held).expect("a URL")));
    let mut batch = client.batch(BatchOptions::default().concurrency(20), endless);
    for _ in 0..100 {
        let outcome = next(&mut batch).await.expect("one").expect("an outcome");
        assert!(outcome.result.is_ok());
    }
    origin.wait_until(|stats| stats.in_flight == 20).await;
    drop(batch);
    origin.wait_until(|stats| stats.in_flight == 0).await;
    node.until_lane(|lane| lane.in_flight + lane.queued == 0)
        .await;
    assert_eq!(origin.stats().aborted, 20);
    // Its place is free again.
    let mut batch = client.batch(BatchOptions::default(), items(&url, 10));
    all_once(&rest(&mut batch).await, 10, false);
    assert!(client.close(PATIENCE).await);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_goes_on_when_its_socket_is_lost() {
    let (origin, node) = (origin(), TestNode::open(&[]));
    let proxy = Proxy::start(node.addr()).await;
    let client = Client::builder()
        .relay(proxy.url())
        .backoff(Duration::from_millis(1), Duration::from_millis(20))
        .build()
        .expect("a client");
    let items = items(&origin.url("/bytes?n=500&seed={}"), 2_000);
    let mut batch = client.batch(BatchOptions::default().ordered(), items);
    let mut outcomes = Vec::new();
    while let Some(outcome) = next(&mut batch).await {
        outcomes.push(outcome.expect("an outcome"));
        if outcomes.len() % 200 == 0 {
            proxy.sever();
        }
    }
    all_once(&outcomes, 2_000, true);
    assert_eq!(origin.stats().requests, 2_000, "none was repeated");
    assert!(client.close(PATIENCE).await);
    node.stop().await;
}

#[tokio::test]
async fn a_relay_that_is_lost_leaves_outcomes_unknown() {
    let (origin, node) = (origin(), TestNode::open(&[]));
    let proxy = Proxy::start(node.addr()).await;
    let client = Client::builder()
        .relay(proxy.url())
        .resume_within(Duration::from_millis(50))
        .backoff(Duration::from_millis(1), Duration::from_millis(20))
        .build()
        .expect("a client");
    let mut batch = client.batch(
        BatchOptions::default(),
        items(&origin.url("/gate?key=never&{}"), 10),
    );
    let lost = async {
        origin.wait_until(|stats| stats.in_flight == 10).await;
        proxy.kill();
    };
    let (outcome, ()) = tokio::join!(next(&mut batch), lost);
    let error = outcome.expect("an error").expect_err("nothing is known");
    assert_eq!(
        (error.name, error.by),
        (ErrorName::OutcomeUnknown, By::Client)
    );
    client.close(Duration::ZERO).await;
    // What it left is parked there, and ends with the node.
    node.stop().await;
}

#[tokio::test]
async fn a_batch_tries_again_as_it_is_told_whatever_its_lane_does() {
    let settings = [
        ("lanes.default.retries", "4"),
        ("lanes.default.retry-base", "1ms"),
    ];
    let (origin, node) = (origin(), TestNode::open(&settings));
    let client = client(&node);
    let mut before = 0;
    for retries in [0, 2] {
        let options = BatchOptions::default().retries(retries);
        let mut batch = client.batch(options, items(&origin.url("/status?code=500"), 1));
        let outcomes = rest(&mut batch).await;
        let response = outcomes[0].result.as_ref().expect("a response");
        assert_eq!(
            (response.status().as_u16(), outcomes[0].attempts),
            (500, retries + 1)
        );
        let requests = origin.stats().requests;
        assert_eq!(requests - before, u64::from(retries) + 1);
        before = requests;
    }
    assert!(client.close(PATIENCE).await);
    node.stop().await;
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_by_name() {
    let settings = [("batch.max-at-once", "1"), ("relay.max-in-flight", "100")];
    let (origin, node) = (origin(), TestNode::open(&settings));
    let client = client(&node);
    let gated = items(&origin.url("/gate?key=k&{}"), 1);
    let mut first = client.batch(BatchOptions::default(), gated);
    let begun = async { origin.wait_until(|stats| stats.in_flight == 1).await };
    tokio::select! {
        _ = next(&mut first) => panic!("it waits at the gate"),
        _ = begun => {}
    }
    let none = || items(&origin.url("/echo"), 1);
    for (options, name, says) in [
        (
            BatchOptions::default(),
            ErrorName::QueueFull,
            "batch.max-at-once",
        ),
        (
            BatchOptions::default().concurrency(101),
            ErrorName::InvalidRequest,
            "100 fetches in flight",
        ),
        (
            BatchOptions::default().strict(),
            ErrorName::InvalidRequest,
            "strict needs a rate",
        ),
    ] {
        let error = error(client.batch(options, none())).await;
        assert_eq!((error.name, error.by), (name, By::Relay), "{error}");
        assert!(error.detail.contains(says), "{error}");
    }
    let relay = format!("ws://{}/", node.addr());
    let json = Client::builder().relay(relay).encoding(Encoding::Json);
    let json = json.build().expect("a client");
    let error = error(json.batch(BatchOptions::default(), none())).await;
    assert_eq!(
        (error.name, error.by),
        (ErrorName::InvalidRequest, By::Client)
    );
    assert!(error.detail.contains("JSON only"), "{error}");
    origin.open_gate("k").expect("few keys");
    all_once(&rest(&mut first).await, 1, false);
    for client in [client, json] {
        assert!(client.close(PATIENCE).await);
    }
    node.stop().await;
}

#[tokio::test]
async fn the_guard_and_the_lanes_of_a_token_hold() {
    let node = TestNode::configured(
        "127.0.0.1:0",
        r#"
        [lanes.bulk]
        [[tokens]]
        name = "ann"
        token = "token-of-ann"
        lanes = ["default"]
        allow-net = ["127.0.0.0/8"]
        [[tokens]]
        name = "bob"
        token = "token-of-bob"
        "#,
    );
    let origin = origin();
    for (token, names) in [
        (
            "token-of-ann",
            [
                None,
                Some(ErrorName::HttpRequestDenied),
                Some(ErrorName::DestinationIpProhibited),
            ],
        ),
        (
            "token-of-bob",
            [Some(ErrorName::DestinationIpProhibited); 3],
        ),
    ] {
        let relay = format!("ws://{}/", node.addr());
        let client = Client::builder().relay(relay).token(token);
        let client = client.build().expect("a client");
        let bulk =
            http::Request::get(origin.url("/echo")).extension(Options::default().lane("bulk"));
        let bulk = bulk.body(Bytes::new()).expect("a request");
        let items = [
            BatchItem::get(&origin.url("/echo")).expect("a URL"),
            BatchItem::new(bulk).expect("a good one"),
            BatchItem::get("http://10.0.0.1/").expect("a URL"),
        ];
        let mut batch = client.batch(BatchOptions::default().ordered(), stream::iter(items));
        let outcomes = rest(&mut batch).await;
        let got = outcomes
            .iter()
            .map(|it| it.result.as_ref().err().map(|error| error.name));
        assert!(got.eq(names), "{token}: {outcomes:?}");
        assert!(client.close(PATIENCE).await);
    }
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_leaves_finishes_what_is_in_flight_and_says_so() {
    let (origin, node) = (origin(), TestNode::open(&[]));
    let client = client(&node);
    let gated = items(&origin.url("/gate?key=k&{}"), 100);
    let options = BatchOptions::default().concurrency(10).ordered();
    let mut batch = client.batch(options, gated.chain(stream::pending()));
    let begun = async { origin.wait_until(|stats| stats.in_flight == 10).await };
    tokio::select! {
        _ = next(&mut batch) => panic!("it waits at the gate"),
        _ = begun => {}
    }
    let read = async {
        let (mut done, mut ended) = (Vec::new(), None);
        // By now the node is on its way out: it was asked first.
        origin.open_gate("k").expect("few keys");
        while let Some(outcome) = next(&mut batch).await {
            match outcome {
                Ok(outcome) => done.push(outcome),
                Err(error) => ended = Some(error),
            }
        }
        (done, ended)
    };
    let (ended, (done, error)) = tokio::join!(node.stop(), read);
    assert_eq!(format!("{ended:?}"), "Drained");
    let error = error.expect("it says that it leaves");
    assert_eq!(
        (error.name, error.by),
        (ErrorName::DestinationUnavailable, By::Relay),
        "{error}"
    );
    // Those in flight, and perhaps some that went out before the word came round.
    assert!(done.len() >= 10, "{} were in flight: {error}", done.len());
    all_once(&done, done.len() as u64, true);
    client.close(PATIENCE).await;
}
