//! Fetches, faults and cancellations at random, over HTTP/1.1 and HTTP/2; at the end nothing is
//! held, nothing is open, and all still works.
//!
//! The seed is printed; `FETCHWAY_TEST_SEED` sets it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use fetchway_fetch::{Account, AccountConfig, FetchRequest};
use fetchway_policy::{ErrorName, RetryPolicy, Timeouts};
use fetchway_test_origins::{Certificate, Kind, TestOrigin, filler};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::support::{PLENTY, Rig, get, loopback, post, soon, trusting, with_lane};

const FETCHES: usize = 1_500;
const WORKERS: usize = 60;

const PATHS: &[&str] = &[
    "/echo",
    "/bytes?n=0",
    "/bytes?n=70000&seed=4",
    "/bytes?n=70000&seed=4&chunked=1",
    "/bytes?n=300000&seed=4&close=1",
    "/bytes?n=400000",
    "/gzip?n=100000",
    "/zstd?n=100000&cut=1",
    "/trailers?n=1000",
    "/status?code=503",
    "/status?code=204",
    "/redirect?n=3",
    "/redirect?to=http://10.0.0.1/",
    "/delay?ms=3&req=1",
    "/slow?chunks=4&gap_ms=2",
    "/upload",
    "/upload?early=1",
    "/stall?after=100",
    "/stall?after=100&n=200",
    "/gate?key=never",
    "/cut?after=10&n=20",
    "/cut?after=70000&n=90000",
    "/close",
    "/fail?key=some&times=40&drop=1",
    "/fail?key=more&times=40&code=429&retry_after=0",
];

/// A future that is given up when it has been asked so many times.
struct UpTo<F> {
    polls: usize,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for UpTo<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        let polled = self.future.as_mut().poll(cx).map(Some);
        if polled.is_pending() && self.polls == 0 {
            // Nothing may ever wake it again.
            cx.waker().wake_by_ref();
        }
        polled
    }
}

fn random_request(random: &mut StdRng, origins: &[TestOrigin]) -> FetchRequest {
    let origin = origins.choose(random).expect("origins");
    let path = PATHS.choose(random).expect("paths");
    let host = ["127.0.0.1", "localhost"].choose(random).expect("hosts");
    let url = origin.url_at(host, path);
    // An origin that leaves a body unread does not see its client leave.
    let hangs = ["/gate", "/stall"]
        .iter()
        .any(|route| path.starts_with(route));
    let mut request = match random.random_range(0..4) {
        0 if !hangs => post(&url, vec![b'x'; random.random_range(0..200_000)]),
        _ => get(&url),
    };
    request.decode = random.random_bool(0.8);
    if random.random_bool(0.1) {
        request.timeouts = Timeouts {
            connect: Some(Duration::from_millis(1)),
            ..Timeouts::default()
        };
    }
    request
}

/// One fetch, read in one of several ways, perhaps given up on the way.
async fn one(account: &Account, request: FetchRequest, how: u32, polls: usize) {
    let url = request.url.clone();
    let plain = !request.url.as_str().contains("decode") && request.method == http::Method::GET;
    let fetch = async {
        let fetched = account.queue(request).perform().await?;
        let status = fetched.response.status();
        let body = fetched.response.into_body();
        let mut hold = account.hold();
        let whole = match how {
            0 => return Ok(None),
            _ => body.whole(&mut hold, 100, 1 << 20).await?,
        };
        Ok::<_, fetchway_policy::FetchError>((status == 200).then_some(whole))
    };
    let outcome = UpTo {
        polls,
        future: Box::pin(fetch),
    }
    .await;
    match outcome {
        Some(Ok(Some(whole))) if plain && url.as_str().contains("/bytes?n=70000&seed=4") => {
            assert!(
                whole == filler(Kind::Text, 4, 70_000).to_vec(),
                "what comes whole is right"
            );
        }
        Some(Err(error)) => {
            let fault = [
                ErrorName::ProxyInternalError,
                ErrorName::ProxyConfigurationError,
            ];
            assert!(!fault.contains(&error.name), "{error}");
        }
        _ => {}
    }
}

#[expect(clippy::print_stdout, reason = "the runner shows it if the test fails")]
async fn storm(seed: u64) {
    println!("FETCHWAY_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let certificate = Arc::new(Certificate::generate::<&str>(&[]).unwrap());
    let origins = [
        TestOrigin::builder().start().unwrap(),
        TestOrigin::builder()
            .certificate(certificate.clone())
            .max_concurrent_streams(3)
            .start()
            .unwrap(),
        TestOrigin::builder()
            .certificate(certificate.clone())
            .http1_only()
            .start()
            .unwrap(),
        TestOrigin::builder()
            .certificate(certificate.clone())
            .start()
            .unwrap(),
    ];
    let mut config = trusting(
        with_lane(|lane| {
            lane.concurrency = 30;
            lane.retry = RetryPolicy {
                retries: 1,
                base: Duration::from_millis(1),
                max: Duration::from_millis(2),
            };
            lane.clocks.header = Duration::from_millis(150);
            lane.clocks.body_idle = Duration::from_millis(150);
            lane.clocks.total = Duration::from_secs(2);
        }),
        &certificate,
    );
    config.origin_default.concurrency = 12;
    config.body_budget = 1 << 20;
    config.pool.idle_per_origin = 4;
    config.pool.idle_total = 6;
    config.pool.idle_timeout = Duration::from_millis(300);
    let rig = Rig::new(config);
    let small = AccountConfig {
        bodies: 500_000,
        ..PLENTY
    };
    let accounts: Vec<_> = (0..4)
        .map(|_| Account::open(&rig.engine, rig.network(loopback()), small))
        .collect();

    let mut queue: Vec<_> = (0..FETCHES)
        .map(|n| {
            let request = random_request(&mut random, &origins);
            let polls = match random.random_range(0..3) {
                0 => random.random_range(1..12),
                _ => usize::MAX,
            };
            (
                request,
                n % accounts.len(),
                random.random_range(0..4),
                polls,
                random.random_range(0..100),
            )
        })
        .collect();
    let queue = std::sync::Mutex::new(std::mem::take(&mut queue));
    let workers = (0..WORKERS).map(|_| async {
        loop {
            let next = queue.lock().unwrap().pop();
            let Some((request, account, how, polls, chance)) = next else {
                return;
            };
            match chance {
                0 => origins[account].break_connections(),
                1 | 2 => origins[account].drain_connections(),
                _ => {}
            }
            one(&accounts[account], request, how, polls).await;
        }
    });
    let all = tokio::time::timeout(
        Duration::from_secs(60),
        futures_util::future::join_all(workers),
    );
    all.await.expect("no fetch may hang");

    rig.is_idle();
    let ended = rig.count.ended();
    let names: std::collections::HashSet<_> = ended
        .iter()
        .filter_map(|ended| ended.outcome.err())
        .collect();
    let well = ended.iter().filter(|ended| ended.outcome.is_ok()).count();
    assert!(
        well > FETCHES / 5 && names.len() >= 7,
        "{well} ended well, others by {names:?}"
    );
    for origin in &origins {
        soon(origin.wait_until(|stats| stats.in_flight == 0)).await;
        for host in ["127.0.0.1", "localhost"] {
            let url = origin.url_at(host, "/bytes?n=1000&seed=3");
            let fetches = (0..10).map(|_| rig.get(&url));
            for whole in futures_util::future::join_all(fetches).await {
                assert!(whole.unwrap().body == filler(Kind::Text, 3, 1_000).to_vec());
            }
        }
    }
    drop(accounts);
    rig.finish().await;
    for origin in origins {
        soon(origin.wait_until(|stats| stats.open == 0)).await;
        origin.stop().await;
    }
}

fn seed() -> u64 {
    let given = std::env::var("FETCHWAY_TEST_SEED").ok();
    given
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random)
}

#[tokio::test]
async fn a_storm_on_one_thread() {
    storm(seed()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_storm_on_several_threads() {
    storm(seed()).await;
}
