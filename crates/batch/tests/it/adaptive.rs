//! Runs that find out what their origins bear. How well, the simulation of the search says.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fetchway_batch::{FoundRates, Request, RunConfig, run};
use fetchway_policy::{ErrorName, FetchError, Rate};
use futures_util::stream;
use tokio::time::Instant;

use crate::fake::{Fake, all, item, items, status};

fn config() -> RunConfig {
    let mut config = RunConfig::default();
    config.adaptive = true;
    config.concurrency = 10_000;
    config.retry.retries = 0;
    config
}

/// Answers after 10 ms, and 429 what is more than so many in any second.
fn bears(most: usize) -> Fake {
    let within = Arc::new(Mutex::new(VecDeque::new()));
    Fake::new(move |_: &Request| {
        let now = Instant::now();
        let mut within = within.lock().expect("no panic");
        while within
            .front()
            .is_some_and(|at| *at + Duration::from_secs(1) <= now)
        {
            within.pop_front();
        }
        let answer = match within.len() < most {
            true => {
                within.push_back(now);
                200
            }
            false => 429,
        };
        async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            status(answer)
        }
    })
}

fn found(adaptive: Option<FoundRates>) -> FoundRates {
    adaptive.expect("it is adaptive")
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_found_and_no_item_is_lost_for_it() {
    // No item has a further try, and yet none fails.
    let began = Instant::now();
    let (outcomes, handle) = run(&config(), items(30_000), bears(1_000));
    let all = all(outcomes, 30_000).await;
    assert!(all.iter().all(|done| !done.outcome.is_failed()));
    let took = began.elapsed().as_secs_f64();
    assert!((30.0..45.0).contains(&took), "{took}");
    let found = found(handle.found_rates());
    let [origin] = &found.origins[..] else {
        panic!("{found:?}");
    };
    assert_eq!((&*origin.origin, found.others), ("http://a", 0));
    assert!((850.0..1_100.0).contains(&origin.per_second), "{origin:?}");
    let refused = handle.progress().refused;
    assert!(origin.troubles > 0 && refused < 300, "{refused} {origin:?}");
    assert_eq!(origin.requests, 30_000 + refused);
}

#[tokio::test(start_paused = true)]
async fn the_runs_own_rate_is_the_most() {
    let mut config = config();
    let window = Duration::from_secs(1);
    let rate = Rate { count: 100, window };
    config.rate = Some(rate);
    let (outcomes, handle) = run(&config, items(2_000), bears(1_000));
    all(outcomes, 2_000).await;
    let found = found(handle.found_rates());
    let rate = found.origins[0].per_second;
    assert!((90.0..=100.0).contains(&rate), "{found:?}");
    assert_eq!(found.origins[0].troubles, 0);
}

#[tokio::test(start_paused = true)]
async fn each_origin_has_a_search_of_its_own_and_sixteen_are_told() {
    let urls = (0..20_000_u64).map(|index| {
        let host = if index < 40 { index % 20 } else { 0 };
        item(index, &format!("http://h{host}/{index}"))
    });
    let performer = Fake::new(|_: &Request| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        status(200)
    });
    let (outcomes, handle) = run(&config(), stream::iter(urls), performer);
    all(outcomes, 20_000).await;
    let found = found(handle.found_rates());
    assert_eq!((found.origins.len(), found.others), (16, 4));
    let first = &found.origins[0];
    assert_eq!((&*first.origin, first.requests), ("http://h0", 19_962));
    assert!(first.per_second > 1_000.0 && found.origins[1].per_second < 11.0);
}

#[tokio::test(start_paused = true)]
async fn whoever_refuses_for_ever_is_believed_in_the_end() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let performer = Fake::new(move |_: &Request| {
        count.fetch_add(1, Ordering::SeqCst);
        async { status(429) }
    });
    let (outcomes, _) = run(&config(), items(1), performer);
    let all = all(outcomes, 1).await;
    // Its one try, and eight that it is spared.
    assert_eq!(
        (asked.load(Ordering::SeqCst), all[0].outcome.attempts),
        (9, 9)
    );
    assert!(all[0].outcome.is_failed());
}

#[tokio::test(start_paused = true)]
async fn a_dead_origin_is_hardly_asked_and_found_again() {
    let began = Instant::now();
    let dead = Duration::from_secs(30)..Duration::from_secs(90);
    let performer = Fake::new(move |_: &Request| {
        let is_dead = dead.contains(&began.elapsed());
        async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            match is_dead {
                true => Err(FetchError::new(ErrorName::ConnectionRefused, "It is dead.")),
                false => status(200),
            }
        }
    });
    let mut config = config();
    config.rate = Some(Rate {
        count: 200,
        window: Duration::from_secs(1),
    });
    let (outcomes, _) = run(&config, items(20_000), performer);
    let all = all(outcomes, 20_000).await;
    let failed = all.iter().filter(|done| done.outcome.is_failed()).count();
    assert!((10..500).contains(&failed), "{failed} of a minute's 12,000");
}
