//! Tests the summary of a run, and its page.

use std::time::Duration;

use fetchway_policy::{ErrorName, FetchError, Rate};
use fetchway_report::{
    About, ItemEnd, ItemResponse, SendCounter, Statistics, Summary, page as report,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

const START: u64 = 1_764_000_000_000_000;

/// An item scheduled `at` milliseconds after the start, that took `took` milliseconds.
fn outcome(at: u64, took: u64, result: Result<u16, &FetchError>) -> ItemEnd<'_> {
    ItemEnd {
        scheduled: START + at * 1_000,
        end: START + (at + took) * 1_000,
        attempts: 1,
        followed: false,
        failed: result.map_or(true, |status| status >= 400),
        result: result.map(|status| ItemResponse { status, bytes: 10 }),
    }
}

fn error(name: ErrorName) -> FetchError {
    FetchError::new(name, "so it is")
}

fn about() -> About {
    About {
        input: "a <b>\"&'.txt".to_owned(),
        output: "out.jsonl".to_owned(),
        target: Some(Rate {
            count: 50,
            window: Duration::from_millis(500),
        }),
        wall: Duration::from_secs(2),
        skipped: 3,
        held_up: vec![
            ("concurrency".to_owned(), Duration::from_millis(250)),
            ("output".to_owned(), Duration::ZERO),
        ],
        ..About::default()
    }
}

/// 200 items in two seconds, of which some fail, and one takes three requests.
fn small() -> Summary {
    let (unresolved, invalid) = (error(ErrorName::DnsError), error(ErrorName::InvalidRequest));
    let (mut sends, mut statistics) = (
        SendCounter::new(START, about().target),
        Statistics::new(START),
    );
    for n in 0..200 {
        // That of item 9 has never been sent.
        for request in 0..if n == 7 { 3 } else { u64::from(n != 9) } {
            sends.count_send(START + n * 10_000, request > 0);
        }
        let result = match n {
            7 => Ok(503),
            8 => Err(&unresolved),
            9 => Err(&invalid),
            _ => Ok(200),
        };
        let mut outcome = outcome(n * 10, if n == 100 { 900 } else { 20 }, result);
        if n == 7 {
            outcome.attempts = 3;
        }
        if n == 9 {
            outcome.attempts = 0;
        }
        statistics.record(&outcome);
    }
    let summary = Summary::new(about(), &sends, &statistics);
    assert_eq!((summary.items.done, summary.items.failed), (200, 3));
    summary
}

#[test]
fn pages_are_told_apart_from_items_where_there_are_any() {
    let (sends, mut statistics) = (SendCounter::new(START, None), Statistics::new(START));
    for n in 0..5 {
        let mut outcome = outcome(n, 20, Ok(200));
        outcome.followed = n > 1;
        statistics.record(&outcome);
    }
    let about = About { cut: 1, ..about() };
    let summary = Summary::new(about, &sends, &statistics);
    assert_eq!((summary.items.done, summary.items.followed), (5, 3));
    let text = summary.text();
    assert!(
        text.contains("2 items and 3 pages that followed in"),
        "{text}"
    );
    assert!(
        text.contains("1 item has more pages than --follow-most"),
        "{text}"
    );
    let page = report(&summary);
    assert!(page.contains("of them 3 pages that followed"));
    assert!(page.contains("items with more pages than are followed"));
    assert!(!small().text().contains("pages") && !report(&small()).contains("pages"));
}

#[test]
fn the_account_says_what_became_of_every_item() {
    let value = serde_json::to_value(small()).unwrap();
    let expected = json!({
        "input": "a <b>\"&'.txt", "output": "out.jsonl", "stopped": false,
        "started": "Mon, 24 Nov 2025 16:00:00 GMT", "wallSeconds": 2.0,
        "items": {"done": 200, "succeeded": 197, "failed": 3, "neverSent": 1, "followed": 0, "cut": 0, "skipped": 3,
            "earlier": 0, "earlierFailed": 0},
        "statuses": {"200": 197, "503": 1},
        "errors": {"dns_error": 1, "invalid_request": 1},
        "errorExamples": {"dns_error": "so it is", "invalid_request": "so it is"},
        "sends": {"total": 201, "retriedItems": 1},
        "bytes": {"bodies": 1980},
    });
    for (name, expected) in expected.as_object().unwrap() {
        assert_eq!(&value[name], expected, "{name}");
    }
    let rate = &value["rate"];
    assert_eq!(rate["target"], "50/500ms");
    assert_eq!(rate["targetPerSecond"], 100.0);
    assert_eq!(
        (&rate["fullestWindow"], &rate["emptiestWindow"]),
        (&json!(51), &json!(49))
    );
    assert_eq!(rate["windowSeconds"], 0.5);
    assert_eq!(
        rate["heldUpSeconds"],
        json!({"concurrency": 0.25, "output": 0.0})
    );
    let mean = rate["meanPerSecond"].as_f64().unwrap();
    assert!((mean - 200.0 / 1.99).abs() < 1e-9, "{mean}");
    let latency = &value["latency"];
    assert_eq!(latency["count"], 198);
    let near = |name: &str, ms: f64| {
        let found = latency[name].as_f64().unwrap();
        assert!((found - ms).abs() <= ms / 1_000.0, "{name} {found}");
    };
    near("p50Ms", 20.0);
    near("p999Ms", 900.0);
    near("maxMs", 900.0);
    assert_eq!(value["latencyOfErrors"]["count"], 1);
    let points = value["points"].as_array().unwrap();
    let sum = |name: &str| {
        points
            .iter()
            .map(|it| it[name].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(
        (sum("dispatched"), sum("succeeded"), sum("failed")),
        (201, 197, 3)
    );
    assert_eq!(points[0]["dispatched"], 101);
}

#[test]
fn the_text_is_short_and_aligned() {
    let text = small().text();
    let expected = "\
done        200 items in 2.00 s; 3 bad lines skipped
succeeded   197
failed      3, 1 never sent
statuses    200: 197  503: 1
errors      dns_error: 1  invalid_request: 1
  such as   dns_error: so it is
  such as   invalid_request: so it is
requests    201, 1 item more than once
latency     p50 20.0 ms  p90 20.0 ms  p99 20.0 ms  p99.9 900 ms  max 900 ms from the scheduled time
  of errors p50 20.0 ms  p90 20.0 ms  p99 20.0 ms  p99.9 20.0 ms  max 20.0 ms
rate        100.5/s of 50/500ms; fullest 500ms window 51, emptiest 49
  held up   250 ms by concurrency
bodies      1.9 KiB
";
    assert_eq!(text, expected);
}

#[test]
fn each_error_name_has_one_example_that_fits_a_line_or_two() {
    let mut statistics = Statistics::new(START);
    let long = format!("first\n{}", "ä".repeat(200));
    for detail in [long, "second".to_owned()] {
        let error = FetchError::new(ErrorName::DnsError, detail);
        statistics.record(&outcome(0, 20, Err(&error)));
    }
    let summary = Summary::new(about(), &SendCounter::new(START, None), &statistics);
    let example = format!("first {}…", "ä".repeat(153));
    assert_eq!(summary.error_examples.len(), 1);
    assert_eq!(summary.error_examples["dns_error"], example);
    let line = format!("  such as   dns_error: {example}\n");
    assert!(summary.text().contains(&line), "{}", summary.text());
    assert!(report(&summary).contains(&example));
}

#[test]
fn nothing_is_said_of_a_rate_where_nothing_was_sent() {
    let text = empty().text();
    assert!(text.starts_with("done        0 items in "), "{text}");
    assert!(!text.contains("rate"), "{text}");
    let mut sends = SendCounter::new(START, None);
    sends.count_send(START, false);
    let mut statistics = Statistics::new(START);
    statistics.record(&outcome(0, 20, Ok(200)));
    let text = Summary::new(about(), &sends, &statistics).text();
    assert!(text.starts_with("done        1 item in "), "{text}");
    assert!(
        text.contains("rate        too short to tell of 50/500ms\n"),
        "{text}"
    );
}

/// A run as they are: five minutes that begin well, with an origin that refuses for a while.
fn large() -> Summary {
    let timeout = error(ErrorName::HttpResponseTimeout);
    let seed = 7;
    let mut random = StdRng::seed_from_u64(seed);
    let (mut sends, mut statistics) = (SendCounter::new(START, None), Statistics::new(START));
    for n in 0..60_000_u64 {
        let at = n * 5 + random.random_range(0..4);
        let refused = (40_000..44_000).contains(&n) && random.random_range(0..3) == 0;
        let stall = (20_000..23_000).contains(&n) && random.random_range(0..20) == 0;
        sends.count_send(START + at * 1_000 + random.random_range(0..1_000), false);
        let took = 3 + random.random_range(0.0_f64..9.0).exp2() as u64 / 8;
        let (took, result) = match (refused, stall) {
            (true, _) => (took, Ok(503)),
            (_, true) => (3_000, Err(&timeout)),
            _ => (took, Ok(if n % 977 == 0 { 404 } else { 200 })),
        };
        statistics.record(&outcome(at, took, result));
    }
    let about = About {
        target: Some(Rate {
            count: 200,
            window: Duration::from_secs(1),
        }),
        wall: Duration::from_millis(300_123),
        ..about()
    };
    Summary::new(about, &sends, &statistics)
}

#[test]
fn the_tables_name_the_window_and_leave_out_what_held_up_nothing() {
    let page = report(&small());
    assert!(page.contains("in the fullest 500ms window"));
    assert!(page.contains("held up by concurrency") && !page.contains("held up by output"));
    assert!(report(&large()).contains("in the fullest second"));
}

/// Items that end in the last moments of a run are on the page as well.
#[test]
fn the_last_moments_are_plotted() {
    let plots = |last: u64, took: u64| {
        let (mut sends, mut statistics) = (SendCounter::new(START, None), Statistics::new(START));
        for n in 0..=100 {
            let (at, took) = if n < 100 { (n * 30, 20) } else { (last, took) };
            sends.count_send(START + at * 1_000, false);
            statistics.record(&outcome(at, took, Ok(200)));
        }
        let about = About {
            wall: Duration::from_millis(last + took),
            target: None,
            ..about()
        };
        let page = report(&Summary::new(about, &sends, &statistics));
        let path = |class: &str, plot: usize| {
            let figure = page.split("<figure>").nth(plot).unwrap();
            let path = figure
                .split(&format!("<path class=\"{class}\" d=\""))
                .nth(1);
            path.unwrap().split('"').next().unwrap().to_owned()
        };
        (path("main", 1), path("other", 2))
    };
    // One slow answer within the first 100 ms of the fourth second, and one request.
    let (rate, latency) = plots(3_050, 1);
    assert_eq!(rate.matches('H').count(), 4, "{rate}");
    assert_eq!(latency.matches('H').count(), 4, "{latency}");
    // The request is taken with the second before, and makes no rate of its own.
    let heights: Vec<&str> = rate.split(['M', 'V', 'H', ' ']).collect();
    let height = |at: usize| heights[at].parse::<f64>().unwrap();
    assert!(
        (height(heights.len() - 2) - height(2)).abs() < 15.0,
        "{rate}"
    );
}

/// A run that never got anything.
fn empty() -> Summary {
    let about = About {
        input: "https://h.example/{}".to_owned(),
        stopped: true,
        ..About::default()
    };
    Summary::new(
        about,
        &SendCounter::new(START, None),
        &Statistics::new(START),
    )
}

/// Every element that is opened is closed, in order; what was named by others is escaped.
fn well_formed(page: &str) {
    let mut open = Vec::new();
    for tag in page.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.split([' ', '/']).find(|it| !it.is_empty()).unwrap();
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') && !["!doctype", "meta"].contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty());
    for outside in [
        "http:", "https:", "src=", "href=", "url(", "@import", "<script", "style=", "NaN", "inf",
    ] {
        let found = page
            .match_indices(outside)
            .find(|_| true)
            .map(|(at, _)| &page[at..at + 40]);
        assert!(
            found.is_none() || outside.starts_with("http") && page.contains("h.example"),
            "{found:?}"
        );
    }
}

#[test]
fn the_page_needs_nothing_else_and_escapes_what_it_shows() {
    for summary in [small(), large(), empty()] {
        let page = report(&summary);
        well_formed(&page);
        assert!(page.len() < 200_000, "{}", page.len());
        assert!(page.contains("default-src 'none'"));
    }
    let page = report(&small());
    assert!(page.contains("<h1>Batch of a &lt;b&gt;&quot;&amp;&#39;.txt</h1>"));
    let page = report(&empty());
    assert!(page.contains("There were no responses.") && page.contains("stopped before"));
}

/// `FETCHWAY_REPORTS=folder` keeps the pages, to be looked at.
#[test]
fn the_same_run_makes_the_same_page() {
    let summaries = [("small", small()), ("large", large()), ("empty", empty())];
    for (name, summary) in summaries {
        let page = report(&summary);
        assert_eq!(page, report(&summary.clone()));
        if let Some(folder) = std::env::var_os("FETCHWAY_REPORTS") {
            let path = std::path::Path::new(&folder).join(format!("{name}.html"));
            std::fs::write(path, page).unwrap();
        }
    }
    assert_eq!(
        serde_json::to_value(large()).unwrap(),
        serde_json::to_value(large()).unwrap()
    );
}

#[test]
fn a_long_run_has_a_bounded_account() {
    let summary = large();
    assert!(summary.points.len() <= 240);
    assert_eq!(summary.point_seconds, 2);
    let text: Value = serde_json::to_value(&summary).unwrap();
    assert!(text.to_string().len() < 60_000);
}
