//! Pages that responses name.

use std::collections::BTreeMap;

use fetchway_test_origins::TestOrigin;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use super::crash::killed_when;
use super::{Folder, batch, lines, said, text};

/// Lists, the Nth with N % 8 pages that follow the first.
pub(super) fn lists(origin: &TestOrigin, count: usize, more: &str) -> String {
    let url = |list| origin.url(&format!("/page?list={list}&of={}{more}", list % 8)) + "\n";
    (0..count).map(url).collect()
}

/// What each list of `count` has: all of its pages once, in their order, each naming the next.
pub(super) fn assert_complete(all: &[Value], count: usize) {
    let mut depths: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for line in all {
        let index = line["index"].as_u64().expect("an index");
        let depth = line["depth"].as_u64();
        assert_ne!(depth, Some(0), "{line}");
        let depth = depth.unwrap_or(0);
        depths.entry(index).or_default().push(depth);
        assert_eq!(line["status"], 200, "{line}");
        let body: Value = serde_json::from_str(line["body"].as_str().expect("text")).expect("JSON");
        assert_eq!(
            (&body["list"], &body["at"]),
            (&line["index"], &depth.into())
        );
        let next = line.get("next").and_then(Value::as_str);
        assert_eq!(next.is_some(), depth < index % 8, "{line}");
    }
    assert_eq!(depths.len(), count);
    for (index, depths) in depths {
        let expected: Vec<u64> = (0..=index % 8).collect();
        assert_eq!(depths, expected, "list {index}");
    }
}

#[tokio::test]
async fn all_pages_are_fetched_by_link_and_by_json() {
    for follow in ["link:next", "json:/paging/next"] {
        let (origin, folder) = (
            TestOrigin::builder().start().expect("an origin"),
            Folder::new("pages"),
        );
        let input = folder.file("urls.txt", &lists(&origin, 100, ""));
        let (output, summary) = (folder.path("out.jsonl"), folder.path("summary.json"));
        let files = [
            text(&input),
            "--output",
            text(&output),
            "--summary",
            text(&summary),
        ];
        let done = batch(&[&files[..], &["--follow", follow]].concat()).await;
        assert_eq!(done.status.code(), Some(0), "{}", said(&done));
        let all = lines(&output);
        assert_complete(&all, 100);
        assert_eq!(origin.stats().requests as usize, all.len());
        let summary = std::fs::read(&summary).expect("a summary");
        let summary: Value = serde_json::from_slice(&summary).expect("JSON");
        assert_eq!(summary["items"]["followed"], all.len() - 100);
        let told = format!("100 items and {} pages that followed", all.len() - 100);
        assert!(said(&done).contains(&told), "{}", said(&done));
    }
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "a failure is repeated from its seed")]
async fn kill_9_and_resume_in_the_middle_of_chains() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    const LISTS: usize = 400;
    for name in ["out.jsonl", "out.jsonl.zst", "out.jsonl.gz"] {
        let (origin, folder) = (
            TestOrigin::builder().start().expect("an origin"),
            Folder::new(&format!("chains-{name}")),
        );
        let input = folder.file("urls.txt", &lists(&origin, LISTS, ""));
        let output = folder.path(name);
        let given = [
            text(&input),
            "--output",
            text(&output),
            "--follow",
            "link:next",
        ];
        // Killed, resumed and killed, resumed.
        let mut kept = Vec::new();
        for again in [&[][..], &["--resume"]] {
            let at = random.random_range(1..700);
            let at = origin.stats().requests + at;
            killed_when(&origin, &[&given[..], again].concat(), at).await;
            if output.exists() {
                let found = lines(&output);
                assert_eq!(found[..kept.len()], kept, "what was written stays");
                kept = found;
            }
        }
        let before = origin.stats().requests;
        let done = batch(&[&given[..], &["--resume"]].concat()).await;
        assert_eq!(done.status.code(), Some(0), "{}", said(&done));
        let all = lines(&output);
        assert_complete(&all, LISTS);
        assert_eq!(all[..kept.len()], kept);
        let again = origin.stats().requests - before;
        assert_eq!(again as usize, all.len() - kept.len());
    }
}

#[tokio::test]
async fn a_page_that_failed_is_retried_and_the_chain_goes_on_from_it() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("retried"),
    );
    // The second page that follows fails at first, so that no later one is known of.
    let input = folder.file("urls.txt", &lists(&origin, 40, "&fail=2"));
    let output = folder.path("out.jsonl");
    let given = [text(&input), "--output", text(&output), "--retries", "0"];
    let given = [&given[..], &["--follow", "link:next"]].concat();
    let done = batch(&given).await;
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    let first = lines(&output);
    let failed = first.iter().filter(|line| line["status"] == 503);
    assert!(failed.clone().all(|line| line["depth"] == 2));
    assert_eq!(failed.count(), 30);
    let before = origin.stats().requests;
    let done = batch(&[&given[..], &["--retry-failed"]].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let all = lines(&output);
    assert_complete(&all, 40);
    let again = origin.stats().requests - before;
    assert_eq!(again as usize, all.len() - (first.len() - 30));
    let told = "30 that failed are fetched again; pages of 30 items are to come";
    assert!(said(&done).contains(told), "{}", said(&done));
}

#[tokio::test]
async fn the_bound_is_told_and_a_higher_one_goes_on() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("bound"),
    );
    let input = folder.file("urls.txt", &lists(&origin, 40, ""));
    let output = folder.path("out.jsonl");
    let given = [text(&input), "--output", text(&output)];
    let given = [&given[..], &["--follow", "link:next", "--follow-most"]].concat();
    let done = batch(&[&given[..], &["2"]].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let all = lines(&output);
    assert!(all.iter().all(|line| line["depth"].as_u64() <= Some(2)));
    let cut = |line: &&Value| line["depth"] == 2 && line.get("next").is_some();
    assert_eq!(all.iter().filter(cut).count(), 25);
    let told = "25 items have more pages than --follow-most";
    assert!(said(&done).contains(told), "{}", said(&done));
    // Resumed without it, or with the same, all is there.
    for flags in [&given[..3], &[&given[..], &["2"]].concat()] {
        let before = origin.stats().requests;
        let done = batch(&[flags, &["--resume"]].concat()).await;
        assert_eq!(done.status.code(), Some(0), "{}", said(&done));
        assert_eq!(origin.stats().requests, before);
    }
    let done = batch(&[&given[..], &["9", "--resume"]].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_complete(&lines(&output), 40);
}

/// A list's item whose response names `next`.
fn names(origin: &TestOrigin, next: &str) -> String {
    let mut url = url::Url::parse(&origin.url("/headers")).expect("a URL");
    url.query_pairs_mut()
        .append_pair("h", &format!("link:<{next}>; rel=next"));
    url.into()
}

#[tokio::test]
async fn credentials_are_not_sent_to_another_origin() {
    let (origin, other) = (
        TestOrigin::builder().start().expect("an origin"),
        TestOrigin::builder().start().expect("an origin"),
    );
    let folder = Folder::new("leaves");
    let mut redirect = url::Url::parse(&origin.url("/redirect")).expect("a URL");
    let there = names(&other, "/echo");
    redirect.query_pairs_mut().append_pair("to", &there);
    let urls = [
        names(&origin, "/echo"),
        names(&origin, &other.url("/echo")),
        // Redirected there: what it names is there too.
        redirect.into(),
        // There and back.
        names(&origin, &names(&other, &origin.url("/echo"))),
    ];
    let list: String = urls
        .iter()
        .map(|url| {
            let item = serde_json::json!({
                "url": url,
                "headers": {"authorization": "secret", "cookie": "a=b", "x-kept": "yes"},
            });
            format!("{item}\n")
        })
        .collect();
    let input = folder.file("items.jsonl", &list);
    let output = folder.path("out.jsonl");
    let given = [text(&input), "--output", text(&output)];
    let done = batch(&[&given[..], &["--follow", "link:next"]].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let all = lines(&output);
    for (index, expected) in [(0, true), (1, false), (2, false), (3, false)] {
        let last = all.iter().rfind(|line| line["index"] == index);
        let body = last.and_then(|line| line["body"].as_str()).expect("a body");
        let echo: Value = serde_json::from_str(body).expect("JSON");
        let fields = echo["headers"].as_array().expect("pairs");
        let has = |name: &str| fields.iter().any(|field| field[0] == name);
        assert_eq!(
            (has("authorization"), has("cookie"), has("x-kept")),
            (expected, expected, true),
            "item {index}: {echo}"
        );
    }
}

#[tokio::test]
async fn an_address_that_may_not_be_fetched_from_is_refused_of_a_page_too() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("guard"),
    );
    let list = names(&origin, "http://[::1]:1/") + "\n";
    let input = folder.file("urls.txt", &list);
    let output = folder.path("out.jsonl");
    let given = [text(&input), "--output", text(&output)];
    let done = batch(&[&given[..], &["--follow", "link:next"]].concat()).await;
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    let all = lines(&output);
    assert_eq!(all[1]["errorCode"], "destination_ip_prohibited");
    assert_eq!((&all[1]["depth"], all.len()), (&1.into(), 2));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_fetched() {
    let folder = Folder::new("nonsense");
    let input = folder.file("urls.txt", "http://127.0.0.1:1/\n");
    let output = folder.path("out.jsonl");
    let given = [text(&input), "--output", text(&output)];
    for (flags, says) in [
        (&["--follow", "next"][..], "expected link:"),
        (&["--follow", "json:next"], "a JSON pointer"),
        (
            &["--follow", "link:next", "--ordered"],
            "cannot be used with",
        ),
        (&["--follow-most", "3"], "--follow"),
        (&["--follow", "link:next", "--follow-most", "0"], "0"),
    ] {
        let done = batch(&[&given[..], flags].concat()).await;
        assert_eq!(done.status.code(), Some(2), "{flags:?}");
        assert!(said(&done).contains(says), "{}", said(&done));
        assert!(!output.exists());
    }
}
