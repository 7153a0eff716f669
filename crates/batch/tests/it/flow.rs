//! What holds up what, and how a run ends.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use fetchway_batch::{Handover, Performer, Request, Response, RunConfig, run};
use fetchway_policy::{ErrorName, FetchError, OriginLimits, RetryPolicy};
use futures_util::{StreamExt as _, stream};
use tokio::sync::Notify;

use crate::fake::{Fake, all, bad, item, items, status};

/// Runs all tasks until each of them waits.
async fn settle() {
    // The clock moves on only when nothing else can.
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn config(concurrency: usize) -> RunConfig {
    let mut config = RunConfig::default();
    config.concurrency = concurrency;
    config
}

#[tokio::test(start_paused = true)]
async fn never_more_than_so_many_are_in_flight() {
    let performer = Fake::new(|_: &Request| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        status(200)
    });
    let under_way = Arc::clone(&performer.under_way);
    let (outcomes, _) = run(&config(7), items(700), performer);
    all(outcomes, 700).await;
    assert_eq!(
        (under_way.most(), under_way.begun(), under_way.now()),
        (7, 700, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn outcomes_that_are_not_taken_stop_everything_before_them() {
    let read = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&read);
    let counted = items(100_000).inspect(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let performer = Fake::new(|_: &Request| async { status(200) });
    let under_way = Arc::clone(&performer.under_way);
    let (outcomes, handle) = run(&config(16), counted, performer);
    settle().await;
    // Their outcomes keep all places, and as many are read ahead as may be.
    let begun = under_way.begun() as u64;
    assert_eq!(begun, 16);
    let ahead = read.load(Ordering::SeqCst) - begun;
    assert!((512..=1_024).contains(&ahead), "{ahead} read ahead");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let untaken = handle.progress().untaken;
    assert!(untaken >= Duration::from_secs(1), "{untaken:?}");
    assert_eq!(under_way.begun() as u64, begun);
    all(outcomes, 100_000).await;
}

#[tokio::test(start_paused = true)]
async fn outcomes_taken_together_keep_their_places_until_they_are_written() {
    let performer = Fake::new(|_: &Request| async { status(200) });
    let under_way = Arc::clone(&performer.under_way);
    let (mut outcomes, _) = run(&config(4), items(100), performer);
    settle().await;
    let mut taken = Vec::new();
    for round in 1..=25 {
        let places = outcomes.wait(&mut taken);
        settle().await;
        assert_eq!((taken.len(), under_way.begun()), (4 * round, 4 * round));
        drop(places);
        settle().await;
    }
    let places = outcomes.wait(&mut taken);
    assert_eq!(taken.len(), 100, "the run is over");
    drop(places);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_run_finishes_what_is_in_flight_and_nothing_else() {
    let gate = Arc::new(Notify::new());
    let open = Arc::clone(&gate);
    let performer = Fake::new(move |_: &Request| {
        let gate = Arc::clone(&open);
        async move {
            gate.notified().await;
            status(503)
        }
    });
    let under_way = Arc::clone(&performer.under_way);
    let mut config = config(5);
    // Stopped, it tries nothing again.
    config.retry.retries = 2;
    // An input that never ends.
    let endless = items(100).chain(stream::pending());
    let (mut outcomes, handle) = run(&config, endless, performer);
    settle().await;
    handle.stop();
    settle().await;
    assert_eq!(under_way.now(), 5);
    for _ in 0..5 {
        gate.notify_one();
        settle().await;
    }
    assert!(
        outcomes.next().await.is_none(),
        "what was to be tried again has no outcome"
    );
    assert_eq!((under_way.begun(), under_way.now()), (5, 0));
    assert!(handle.progress().stopped);
}

#[tokio::test(start_paused = true)]
async fn dropped_outcomes_end_what_is_under_way() {
    let performer = Fake::new(|_: &Request| std::future::pending());
    let under_way = Arc::clone(&performer.under_way);
    let (outcomes, handle) = run(&config(5), items(100), performer);
    settle().await;
    assert_eq!(under_way.now(), 5);
    drop(outcomes);
    settle().await;
    assert_eq!(under_way.now(), 0);
    assert_eq!(handle.progress().done, 0);
}

#[tokio::test(start_paused = true)]
async fn wrong_items_have_their_outcome_and_take_no_slot() {
    let list = vec![bad(0), item(1, "http://a/1"), bad(2)];
    let performer = Fake::new(|_: &Request| async { status(200) });
    let (outcomes, handle) = run(&config(5), stream::iter(list), performer);
    let all = all(outcomes, 3).await;
    let failed: Vec<bool> = all.iter().map(|done| done.outcome.is_failed()).collect();
    assert_eq!(failed, [true, false, true]);
    assert_eq!(
        (all[0].outcome.attempts, all[0].outcome.timing.sent),
        (0, None)
    );
    let progress = handle.progress();
    assert_eq!((progress.read, progress.done, progress.failed), (3, 3, 2));
}

#[tokio::test(start_paused = true)]
async fn only_what_another_try_may_mend_is_tried_again() {
    let performer = Fake::new(|request: &Request| {
        let path = request.url.path().to_owned();
        async move {
            let failed = |name| Err(FetchError::new(name, "It failed."));
            match path.as_str() {
                "/refused" => failed(ErrorName::ConnectionRefused),
                "/cut" => failed(ErrorName::HttpResponseIncomplete),
                "/slow" => failed(ErrorName::HttpResponseTimeout),
                "/gone" => status(404),
                _ => status(500),
            }
        }
    });
    let paths = ["refused", "cut", "slow", "gone", "trouble", "post"];
    let list: Vec<_> = (0_u64..)
        .zip(paths)
        .map(|(index, path)| {
            let mut item = item(index, &format!("http://a/{path}"));
            if let (Ok(request), "post") = (&mut item.request, path) {
                request.method = http::Method::POST;
            }
            item
        })
        .collect();
    let mut config = config(5);
    config.retry = RetryPolicy {
        retries: 2,
        ..RetryPolicy::default()
    };
    let (outcomes, _) = run(&config, stream::iter(list), performer);
    let attempts = all(outcomes, 6).await;
    let attempts: Vec<u32> = attempts.iter().map(|done| done.outcome.attempts).collect();
    assert_eq!(attempts, [3, 3, 1, 1, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_performer_that_panics_ends_the_run_instead_of_hanging_it() {
    let performer = Fake::new(|request: &Request| {
        assert_ne!(request.url.path(), "/50");
        async { status(200) }
    });
    let (outcomes, handle) = run(&config(1), items(100), performer);
    assert_eq!(outcomes.count().await, 50);
    let progress = handle.progress();
    assert!(progress.stopped && progress.panicked);
}

#[tokio::test(start_paused = true)]
async fn items_that_panic_end_the_run_instead_of_hanging_it() {
    // One at a time, so that those before it have been taken.
    let list = items(100).then(|item| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        item
    });
    let list = list.inspect(|item| assert_ne!(item.index, 50));
    let performer = Fake::new(|_: &Request| async { status(200) });
    let (outcomes, handle) = run(&config(5), list, performer);
    let over = tokio::time::timeout(Duration::from_secs(60), outcomes.count()).await;
    assert_eq!(over, Ok(50));
    let progress = handle.progress();
    assert!(progress.stopped && progress.panicked);
}

/// Performs nothing that takes time, but waits where it is asked what an origin may be sent.
struct Held {
    asked: mpsc::SyncSender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
    begun: Arc<AtomicUsize>,
    /// Dropped with the last task.
    _gone: mpsc::SyncSender<()>,
}

impl Performer for Held {
    type Hold = ();

    async fn perform(
        &self,
        request: &Request,
        _: &Handover<'_>,
    ) -> Result<(Response, ()), FetchError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let what = request.url.to_string();
        Err(FetchError::new(ErrorName::ConnectionRefused, what))
    }

    fn limits(&self, _: &url::Url) -> OriginLimits {
        self.asked.send(()).expect("the test waits");
        let go_on = self.go_on.lock().expect("nobody panics");
        go_on.recv().expect("the test says so");
        OriginLimits {
            rate: None,
            concurrency: usize::MAX,
        }
    }
}

#[test]
fn nothing_begins_once_the_outcomes_are_dropped() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime");
    let _within = runtime.enter();
    let (asked, is_asked) = mpsc::sync_channel(1);
    let (go_on, told) = mpsc::sync_channel(1);
    let (gone, all_gone) = mpsc::sync_channel(1);
    let begun = Arc::new(AtomicUsize::new(0));
    let held = Held {
        asked,
        go_on: Mutex::new(told),
        begun: Arc::clone(&begun),
        _gone: gone,
    };
    let (outcomes, _) = run(&RunConfig::default(), items(1), held);
    // The reader is about to start a worker.
    is_asked.recv().expect("it is");
    drop(outcomes);
    go_on.send(()).expect("it waits");
    let over: Result<(), _> = all_gone.recv();
    assert!(over.is_err(), "all tasks are gone");
    assert_eq!(begun.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_when_stopped_has_no_outcome() {
    let gate = Arc::new(Notify::new());
    let cancelled = || FetchError::new(ErrorName::Cancelled, "It was not made.");
    let at_gate = Arc::clone(&gate);
    let performer = Fake::new(move |_| {
        let gate = Arc::clone(&at_gate);
        async move {
            gate.notified().await;
            Err(cancelled())
        }
    });
    let (mut outcomes, handle) = run(&config(2), items(3), performer);
    settle().await;
    gate.notify_one();
    // Of a run that goes on it is a failure.
    let first = outcomes.next().await.expect("an outcome").outcome;
    assert_eq!(
        first.result.expect_err("it failed").name,
        ErrorName::Cancelled
    );
    handle.stop();
    for _ in 0..2 {
        gate.notify_one();
        settle().await;
    }
    assert!(outcomes.next().await.is_none());
}
