//! The socket is cut again and again, and nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fetchway_client::{Client, Failover};
use fetchway_test_origins::{Kind, TestOrigin, checksum, filler};
use fetchway_testkit::{PATIENCE, TestNode};
use http::Request;
use http_body::Frame;
use http_body_util::{Empty, Full};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use crate::proxy::Proxy;

const FETCHES: u64 = 10_000;
const CUTS: u32 = 200;
const WORKERS: u64 = 64;

/// Any; the same one cuts at the same bytes of the same connections.
const SEED: u64 = 0x5EED_0003;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_cuts_lose_and_repeat_nothing() {
    println!("seed {SEED:#x}");
    let origin = TestOrigin::builder().start().expect("an origin");
    let node = TestNode::open(&[]);
    let proxy = Proxy::start(node.addr()).await;
    // A fetch that were sent again would be seen twice.
    let client = Client::builder()
        .relay(proxy.url())
        .failover(Failover::Never)
        .backoff(Duration::from_millis(1), Duration::from_millis(20))
        .build()
        .expect("a client");
    // One that is there all the time: while a stream is open, the session is gone on with.
    let lasting = origin.url("/gate?key=lasting&after=10&n=20&seed=9");
    let lasting = Request::get(lasting)
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let mut lasting = client.fetch(lasting).await.expect("a response").into_body();
    let begin = lasting.chunk().await.expect("a body").expect("a piece");
    proxy.cut(SEED, CUTS, 2 * per_cut());
    proxy.sever();

    let next = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (client, next) = (client.clone(), Arc::clone(&next));
            let base = origin.url("");
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= FETCHES {
                        return;
                    }
                    let fetch = one(&client, &base, number);
                    tokio::time::timeout(PATIENCE, fetch)
                        .await
                        .unwrap_or_else(|_| panic!("fetch {number} hangs"));
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("every fetch completes");
    }
    println!("{} cuts were left over", proxy.left());
    assert_eq!(proxy.left(), 0, "fewer cuts than there should have been");
    origin.open_gate("lasting").expect("a gate");
    let mut whole = begin.to_vec();
    while let Some(piece) = lasting.chunk().await.expect("a body") {
        whole.extend_from_slice(&piece);
    }
    assert!(filler(Kind::Text, 9, 20).matches(&whole));
    let stats = origin.wait_until(|stats| stats.in_flight == 0).await;
    assert_eq!(
        (stats.requests, stats.completed),
        (FETCHES + 1, FETCHES + 1)
    );
    client.close(PATIENCE).await;
    node.stop().await;
}

/// Bytes that go by between two cuts, if they are to be done with the fetches.
fn per_cut() -> u64 {
    FETCHES * 3_500 / u64::from(CUTS)
}

/// Mostly small ones, some that fill several frames.
fn size(random: &mut StdRng) -> u64 {
    let most = if random.random_ratio(1, 12) {
        48 << 10
    } else {
        1 << 10
    };
    random.random_range(0..most)
}

/// A fetch, verified to the byte. What it is follows from its number.
async fn one(client: &Client, base: &str, number: u64) {
    let mut random = StdRng::seed_from_u64(SEED ^ number);
    let n = size(&mut random);
    match number % 3 {
        0 => {
            let url = format!("{base}/bytes?n={n}&seed={number}&binary=1");
            let request = Request::get(url)
                .body(Empty::<Bytes>::new())
                .expect("a request");
            let body = fetched(client, number, request).await;
            assert!(
                filler(Kind::Binary, number, n).matches(&body),
                "fetch {number}"
            );
        }
        1 => {
            // In pieces, as they would come from elsewhere.
            let body = Pieces(filler(Kind::Binary, number, n));
            let url = format!("{base}/upload?i={number}");
            let request = Request::post(url).body(body).expect("a request");
            let seen: Value =
                serde_json::from_slice(&fetched(client, number, request).await).expect("JSON");
            let sum = checksum(&filler(Kind::Binary, number, n).to_vec());
            assert_eq!(seen["bytes"], n, "fetch {number}");
            assert_eq!(seen["checksum"], format!("{sum:08x}"), "fetch {number}");
        }
        _ => {
            let body = String::from_utf8(filler(Kind::Text, number, n).to_vec()).expect("text");
            let url = format!("{base}/echo?i={number}");
            let request = Request::post(url)
                .body(Full::from(body.clone()))
                .expect("a request");
            let seen: Value =
                serde_json::from_slice(&fetched(client, number, request).await).expect("JSON");
            assert_eq!(seen["query"], format!("i={number}"));
            assert!(seen["body"] == body, "fetch {number}");
        }
    }
}

async fn fetched<B>(client: &Client, number: u64, request: Request<B>) -> Bytes
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<fetchway_client::BoxError>,
{
    let response = client.fetch(request).await;
    let response = response.unwrap_or_else(|error| panic!("fetch {number}: {error}"));
    assert_eq!(response.status(), 200, "fetch {number}");
    let body = response.into_body().bytes(1 << 20).await;
    body.unwrap_or_else(|error| panic!("the body of fetch {number}: {error}"))
}

/// A body in the pieces in which the filler comes.
struct Pieces(fetchway_test_origins::Filler);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
    }
}
