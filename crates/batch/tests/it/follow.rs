//! Pages that follow one another in a run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fetchway_batch::{
    Done, Handle, Handover, Item, Outcomes, Performer, Request, Response, RunConfig, run,
};
use fetchway_policy::FetchError;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::header::LINK;
use http::{HeaderMap, Method};
use url::Url;

use crate::fake::{Answer, Fake, bad, item, items};

/// Item N, at `/N`, has N pages that follow it, `/N/1`, `/N/2`; each after some time, or at once.
fn pages(time: u64) -> Fake {
    Fake::new(move |request: &Request| {
        let mut path = request.url.path().split('/').skip(1);
        let mut number = || -> u64 { path.next().and_then(|it| it.parse().ok()).unwrap_or(0) };
        let (of, at) = (number(), number());
        let query = request.url.query().map(str::to_owned);
        async move {
            if time > 0 {
                tokio::time::sleep(Duration::from_millis(time)).await;
            }
            page(of, at, query.as_deref())
        }
    })
}

fn page(of: u64, at: u64, query: Option<&str>) -> Answer {
    let mut headers = HeaderMap::new();
    if at < of {
        let link = format!("</{of}/{}>; rel=next", at + 1);
        headers.insert(LINK, link.parse().expect("a value"));
    }
    let failed = query == Some("fails") || (of, at) == (5, 3);
    Ok((if failed { 404 } else { 200 }, headers))
}

fn config(concurrency: usize, most: u32) -> RunConfig {
    let mut config = RunConfig::default();
    config.concurrency = concurrency;
    config.follow = Some("link:next".parse().expect("it is right"));
    config.follow_most = most;
    config
}

/// How many outcomes each item has, which come in the order of their depth.
async fn chains(
    (mut outcomes, handle): (Outcomes<()>, Handle),
    most_open: i32,
) -> (HashMap<u64, u32>, Handle) {
    let mut chains: HashMap<u64, u32> = HashMap::new();
    let mut open = 0_i32;
    while let Some(Done { outcome, .. }) = outcomes.next().await {
        let next = chains.entry(outcome.index).or_default();
        assert_eq!(outcome.depth, *next, "item {}", outcome.index);
        *next += 1;
        let url = match outcome.depth {
            0 => format!("http://a/{}", outcome.index),
            depth => format!("http://a/{}/{depth}", outcome.index),
        };
        assert_eq!(outcome.url.split('?').next(), Some(&*url));
        assert_eq!(outcome.fingerprint, outcome.index);
        assert!(outcome.timing.scheduled > 0 || outcome.attempts == 0);
        open += i32::from(outcome.next.is_some()) - i32::from(outcome.depth > 0);
        // What was begun goes on before anything else is begun.
        assert!(open <= most_open, "{open} chains are open");
    }
    (chains, handle)
}

#[tokio::test(start_paused = true)]
async fn each_page_is_an_outcome_after_the_one_before_it() {
    let performer = pages(10);
    let under_way = Arc::clone(&performer.under_way);
    let (chains, handle) = chains(run(&config(7, 100), items(20), performer), 7).await;
    for index in 0..20 {
        // The third page of item 5 fails: none follows.
        let expected = if index == 5 { 4 } else { index as u32 + 1 };
        assert_eq!(chains[&index], expected, "item {index}");
    }
    assert_eq!((under_way.most(), under_way.now()), (7, 0));
    let progress = handle.progress();
    assert_eq!(
        (progress.read, progress.finished, progress.cut),
        (20, 20, 0)
    );
    assert_eq!((progress.done, progress.followed), (208, 188));
    assert_eq!((progress.failed, progress.retried), (1, 0));
    assert_eq!(progress.dispatched, 208);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_keep_the_order_of_a_chain() {
    let (chains, handle) = chains(run(&config(8, 100), items(100), pages(0)), i32::MAX).await;
    assert_eq!(chains.len(), 100);
    assert_eq!(handle.progress().done, 100 * 101 / 2 - 2);
}

/// Looks, when a page is sent, at what outcomes there are.
struct Watching {
    fake: Fake,
    outcomes: Arc<Mutex<Option<Outcomes<()>>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A URL, and the outcome that was there when it was sent.
type Seen = (String, Option<Done<()>>);

impl Performer for Watching {
    type Hold = ();

    async fn perform(
        &self,
        request: &Request,
        handover: &Handover<'_>,
    ) -> Result<(Response, ()), FetchError> {
        if let Some(outcomes) = &mut *self.outcomes.lock().expect("no panic") {
            let outcome = outcomes.next().now_or_never().flatten();
            let mut seen = self.seen.lock().expect("no panic");
            seen.push((request.url.to_string(), outcome));
        }
        self.fake.perform(request, handover).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_given_before_the_page_that_it_names_is_sent() {
    let fake = Fake::new(|request: &Request| {
        let at: u64 = request.url.path()[1..].parse().expect("a number");
        let mut headers = HeaderMap::new();
        if at < 5 {
            let next = at + 1;
            let link = format!("<http://h{next}/{next}>; rel=next");
            headers.insert(LINK, link.parse().expect("a value"));
        }
        async { Ok((200, headers)) }
    });
    let (outcomes, seen) = (Arc::default(), Arc::default());
    let watching = Watching {
        fake,
        outcomes: Arc::clone(&outcomes),
        seen: Arc::clone(&seen),
    };
    let one = stream::once(async { item(0, "http://h0/0") });
    let (given, handle) = run(&config(4, 100), one, watching);
    *outcomes.lock().expect("no panic") = Some(given);
    // The last one is not taken by then.
    while handle.progress().finished == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let seen = std::mem::take(&mut *seen.lock().expect("no panic"));
    let pages: Vec<_> = seen.iter().skip(1).collect();
    assert_eq!(pages.len(), 5);
    for (page, outcome) in pages {
        let outcome = &outcome.as_ref().expect("it is there").outcome;
        assert_eq!(outcome.next.as_ref().map(Url::as_str), Some(&**page));
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_the_last_outcome_still_names_the_next() {
    let (mut outcomes, handle) = run(&config(4, 2), items(5), pages(0));
    let mut named = Vec::new();
    while let Some(Done { outcome, .. }) = outcomes.next().await {
        if outcome.depth == 2 {
            named.push((outcome.index, outcome.next.map(String::from)));
        }
    }
    named.sort();
    let at = |url: &str| Some(url.to_owned());
    let expected = [(2, None), (3, at("http://a/3/3")), (4, at("http://a/4/3"))];
    assert_eq!(named, expected);
    let progress = handle.progress();
    assert_eq!((progress.done, progress.finished, progress.cut), (12, 5, 2));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_got_or_failed_is_not_followed() {
    let mut posted = item(6, "http://a/6");
    if let Ok(request) = &mut posted.request {
        request.method = Method::POST;
    }
    let list: Vec<Item> = vec![
        posted,
        item(7, "http://a/7?fails"),
        bad(8),
        // Resumed: its chain is at its third page.
        Item {
            depth: 3,
            ..item(4, "http://a/4/3")
        },
    ];
    let (outcomes, handle) = run(&config(4, 100), stream::iter(list), pages(0));
    let mut all: Vec<_> = outcomes.collect().await;
    all.sort_by_key(|done| (done.outcome.index, done.outcome.depth));
    let seen: Vec<_> = all
        .iter()
        .map(|Done { outcome, .. }| (outcome.index, outcome.depth, outcome.next.is_some()))
        .collect();
    assert_eq!(
        seen,
        [
            (4, 3, true),
            (4, 4, false),
            (6, 0, false),
            (7, 0, false),
            (8, 0, false)
        ]
    );
    assert_eq!(
        (handle.progress().finished, handle.progress().followed),
        (4, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn without_following_nothing_is_named() {
    let (mut outcomes, _) = run(&RunConfig::default(), items(5), pages(0));
    let mut count = 0;
    while let Some(Done { outcome, .. }) = outcomes.next().await {
        assert!(outcome.next.is_none() && outcome.depth == 0);
        count += 1;
    }
    assert_eq!(count, 5);
}

#[tokio::test(start_paused = true)]
async fn stopped_within_a_chain_the_last_outcome_names_what_is_to_come() {
    let performer = Fake::new(|request: &Request| {
        let path = request.url.path().to_owned();
        async move {
            // The second page never comes by itself.
            if path == "/9/2" {
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            let at = path.rsplit('/').next().and_then(|it| it.parse().ok());
            let at: u64 = at.filter(|at| *at < 9).unwrap_or(0);
            page(9, at, None)
        }
    });
    let one = stream::iter([item(9, "http://a/9")]);
    let (mut outcomes, handle) = run(&config(4, 100), one, performer);
    let mut last = None;
    while let Some(Done { outcome, .. }) = outcomes.next().await {
        if outcome.depth == 1 {
            handle.stop();
        }
        last = outcome.next.map(|next| (outcome.depth, next));
    }
    let (depth, next) = last.expect("it names one");
    let expected = format!("http://a/9/{}", depth + 1);
    assert!((1..=2).contains(&depth) && next.as_str() == expected);
    let progress = handle.progress();
    assert_eq!(progress.done, u64::from(depth) + 1);
}
