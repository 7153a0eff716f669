//! When things are sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fetchway_batch::{Cause, Request, RunConfig, run};
use fetchway_policy::{Rate, RetryPolicy};
use futures_util::StreamExt as _;
use http::HeaderMap;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;

use crate::fake::{Fake, all, item, items, status};

fn per_second(count: u32) -> Option<Rate> {
    let window = Duration::from_secs(1);
    Some(Rate { count, window })
}

fn config(rate: Option<Rate>) -> RunConfig {
    let mut config = RunConfig::default();
    config.rate = rate;
    config.concurrency = 10_000;
    config
}

/// Has the times of dispatch written down, in microseconds.
fn logged(config: &mut RunConfig) -> Arc<Mutex<Vec<u64>>> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&log);
    config.on_sent = Some(Arc::new(move |sent| {
        to.lock().expect("no panic").push(sent.at);
    }));
    log
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_held_to_the_slot() {
    let began = Instant::now();
    let performer = Fake::new(|_: &Request| async {
        tokio::time::sleep(Duration::from_millis(80)).await;
        status(200)
    });
    let (outcomes, handle) = run(&config(per_second(5_000)), items(20_001), performer);
    let all = all(outcomes, 20_001).await;
    let took = began.elapsed();
    let ideal = Duration::from_millis(4_080);
    assert!(
        took >= ideal && took < ideal + Duration::from_millis(3),
        "{took:?}"
    );
    let first = all[0].outcome.timing.scheduled;
    for (k, done) in all.iter().enumerate() {
        let timing = done.outcome.timing;
        assert_eq!(timing.scheduled, first + k as u64 * 200);
        let late = timing.sent.expect("it was sent") - timing.scheduled;
        assert!(late <= 1_000, "{late} µs late");
        assert_eq!(timing.end, timing.first_byte.expect("it was answered"));
    }
    let progress = handle.progress();
    assert_eq!(
        (progress.done, progress.failed, progress.in_flight),
        (20_001, 0, 0)
    );
    assert_eq!(progress.slip(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
#[expect(clippy::print_stdout, reason = "a failure is repeated from its seed")]
async fn no_strict_window_holds_more_though_connections_take_their_time() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let random = Mutex::new(StdRng::seed_from_u64(seed));
    let mut config = config(per_second(1_000));
    config.strict = true;
    let log = logged(&mut config);
    let mut performer = Fake::new(|_: &Request| async { status(200) });
    performer.connect = Box::new(move || {
        let mut random = random.lock().expect("no panic");
        // Most are there, some are opened: they come late, and all at once.
        match random.random_range(0..10) {
            0 => Duration::from_millis(random.random_range(1..60)),
            _ => Duration::ZERO,
        }
    });
    let began = Instant::now();
    let (outcomes, _) = run(&config, items(10_000), performer);
    all(outcomes, 10_000).await;
    let took = began.elapsed();
    let log = log.lock().expect("no panic");
    assert_eq!(log.len(), 10_000);
    for pair in log.windows(1_001) {
        let window = pair[1_000] - pair[0];
        assert!(window > 1_000_000, "1,001 within {window} µs");
    }
    // The slack is 5 ms a window; the last may be as late as a connection takes.
    assert!(took < Duration::from_millis(10_050 + 150), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn retries_and_redirects_count_against_the_rate() {
    let tries = Mutex::new(HashMap::new());
    let mut performer = Fake::new(move |request: &Request| {
        let path = request.url.path().to_owned();
        let mut tries = tries.lock().expect("no panic");
        let tries: &mut u32 = tries.entry(path).or_default();
        *tries += 1;
        let answer = status(if *tries == 1 { 500 } else { 200 });
        async move { answer }
    });
    performer.requests = 2;
    let mut config = config(per_second(1_000));
    config.retry = RetryPolicy {
        retries: 2,
        base: Duration::from_millis(100),
        max: Duration::from_secs(1),
    };
    let log = logged(&mut config);
    let began = Instant::now();
    let (outcomes, handle) = run(&config, items(1_000), performer);
    for done in all(outcomes, 1_000).await {
        assert_eq!(
            (done.outcome.attempts, done.outcome.is_failed()),
            (2, false)
        );
    }
    // Two tries of two requests each: 4,000 slots. The last tries may leave some unused.
    let took = began.elapsed().as_millis();
    assert!((3_990..4_200).contains(&took), "{took} ms");
    assert_eq!(log.lock().expect("no panic").len(), 4_000);
    assert_eq!(handle.progress().retried, 1_000);
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_refuses_is_slowed_and_the_others_are_not() {
    // A second's thousand, and then 429 until the second is over.
    let origin = Mutex::new((0, 0_u32));
    let began = Instant::now();
    let late = Arc::new(Mutex::new((0_u32, 0_u32)));
    let counts = Arc::clone(&late);
    let performer = Fake::new(move |request: &Request| {
        let since = began.elapsed();
        let refused = request.url.host_str() == Some("limited") && {
            let mut origin = origin.lock().expect("no panic");
            if std::mem::replace(&mut origin.0, since.as_secs()) != since.as_secs() {
                origin.1 = 0;
            }
            origin.1 += 1;
            let refused = origin.1 > 1_000;
            if since > Duration::from_secs(5) {
                let mut late = counts.lock().expect("no panic");
                late.0 += u32::from(refused);
                late.1 += 1;
            }
            refused
        };
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let mut headers = HeaderMap::new();
            if refused {
                headers.insert("retry-after", 1.into());
            }
            Ok((if refused { 429 } else { 200 }, headers))
        }
    });
    let mut config = config(per_second(5_000));
    config.retry = RetryPolicy {
        retries: 3,
        base: Duration::from_millis(250),
        max: Duration::from_secs(30),
    };
    let hosts = futures_util::stream::iter((0..40_000).map(|index| {
        let host = if index % 2 == 0 { "limited" } else { "free" };
        item(index, &format!("http://{host}/{index}"))
    }));
    let (outcomes, handle) = run(&config, hosts, performer);
    let all = all(outcomes, 40_000).await;
    assert!(all.iter().all(|done| !done.outcome.is_failed()));
    let (refused, sent) = *late.lock().expect("no panic");
    assert!(
        f64::from(refused) < 0.02 * f64::from(sent),
        "{refused} of {sent} were refused"
    );
    // 20,000 of it at somewhat less than 1,000 a second.
    assert!(
        began.elapsed() < Duration::from_secs(25),
        "{:?}",
        began.elapsed()
    );
    // The other had its half of the rate, and later what the first could not use.
    let first = all[1].outcome.timing.scheduled;
    let last = all.iter().filter(|done| done.outcome.index % 2 == 1);
    let last = last
        .map(|done| done.outcome.timing.sent.expect("sent"))
        .max();
    let took = last.expect("some") - first;
    assert!(took < 8_000_000, "the free origin took {took} µs");
    assert!(handle.progress().refused > 0);
}

#[tokio::test(start_paused = true)]
async fn a_slip_is_told_with_its_cause() {
    let performer = Fake::new(|_: &Request| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        status(200)
    });
    let mut config = config(per_second(100));
    config.concurrency = 10;
    let (outcomes, handle) = run(&config, items(100), performer);
    assert_eq!(outcomes.count().await, 100);
    let slipped = handle.progress().slipped;
    for (cause, slip) in Cause::ALL.into_iter().zip(slipped) {
        match cause {
            // Ten a second instead of a hundred.
            Cause::Concurrency => assert!(slip > Duration::from_secs(7), "{slip:?}"),
            cause => assert_eq!(slip, Duration::ZERO, "{cause:?}"),
        }
    }
}
