//! Through relays.

use std::process::Output;

use fetchway_test_origins::{Ledger, Limit, LimitKind, Rules, TestOrigin};
use fetchway_testkit::{PATIENCE, http};
use tokio::time::timeout;

use super::stop::{interrupt, until_said};
use super::{Folder, assert_complete, bare, follow, lines, said, sentence, text, urls};
use crate::serve::Serve;

async fn batch(flags: &[&str]) -> Output {
    bare(flags).output().await.expect("the binary runs")
}

/// A relay's URL where none is.
async fn nowhere() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let addr = listener.expect("a free port").local_addr();
    format!("ws://{}/", addr.expect("a bound listener"))
}

#[tokio::test]
async fn several_relays_share_a_list_and_one_schedule() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("via"),
    );
    let (one, other) = (Serve::start().await, Serve::start().await);
    let input = folder.file("urls.txt", &urls(&origin, 500));
    let (output, log) = (folder.path("out.jsonl"), folder.path("sent.log"));
    let relays = [format!("ws://{}", one.addr), format!("ws://{}", other.addr)];
    let flags = [
        "--via",
        &relays[0],
        "--via",
        &relays[1],
        "--dispatch-log",
        text(&log),
    ];
    let rate = ["--rate", "200/100ms", "--strict"];
    let files = [text(&input), "--output", text(&output)];
    let done = batch(&[&flags[..], &rate, &files].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_complete(&lines(&output), 500);
    let log = std::fs::read_to_string(log).expect("a log");
    let sent: Vec<u64> = log.lines().map(|at| at.parse().expect("a time")).collect();
    assert_eq!(sent.len(), 500);
    assert!(
        sent.windows(201)
            .all(|window| window[200] - window[0] > 100_000)
    );
}

#[tokio::test]
async fn what_a_lost_relay_had_not_answered_goes_to_another_if_it_may() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("lost"),
    );
    let (one, other) = (Serve::start().await, Serve::start().await);
    let relays = [format!("ws://{}", one.addr), format!("ws://{}", other.addr)];
    // Ten may be sent twice. So one that has twenty under way has some that may not.
    let list: String = (0..40)
        .map(|req| {
            let url = origin.url(&format!("/gate?key=k&req={req}&n=1"));
            let method = if req < 10 { "GET" } else { "POST" };
            format!("{{\"url\":\"{url}\",\"method\":\"{method}\"}}\n")
        })
        .collect();
    let input = folder.file("items.jsonl", &list);
    let (output, log) = (folder.path("out.jsonl"), folder.path("sent.log"));
    let flags = [
        "--via",
        &relays[0],
        "--via",
        &relays[1],
        "--concurrency",
        "40",
        "--dispatch-log",
        text(&log),
    ];
    let given = [&flags[..], &[text(&input), "--output", text(&output)]].concat();
    let child = bare(&given).spawn().expect("the binary runs");
    origin.wait_until(|stats| stats.in_flight == 40).await;
    // Whichever has more, as one may have been connected to before the other.
    let victim = if in_flight(&one).await >= 20 {
        one
    } else {
        other
    };
    let told = format!("the relay ws://{}/ is lost: ", victim.addr);
    // Killed, not stopped: its fetches are gone without a word.
    victim.signal("KILL").await;
    let _killed = victim.ended().await;
    origin.open_gate("k").expect("few keys");
    let done = child.wait_with_output().await.expect("its end");
    let all = lines(&output);
    assert_eq!(all.len(), 40, "{}", said(&done));
    let lost: Vec<_> = all.iter().filter(|line| line["status"] != 200).collect();
    assert_eq!(done.status.code(), Some(i32::from(!lost.is_empty())));
    assert!(
        !lost.is_empty(),
        "some of its fetches may not be sent twice"
    );
    for line in lost {
        assert_eq!(line["errorCode"], "outcome_unknown", "{line}");
        assert!(line["index"].as_u64().expect("a number") >= 10, "{line}");
    }
    assert!(said(&done).contains(&told), "{}", said(&done));
    // What was sent again is a request like any other.
    let log = std::fs::read_to_string(log).expect("a log");
    let requests = origin.stats().requests;
    assert!(requests > 40, "{requests}");
    assert_eq!(log.lines().count() as u64, requests);
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_told_of_and_done_without() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("without"),
    );
    let (node, nowhere) = (Serve::start().await, nowhere().await);
    let relay = format!("ws://{}", node.addr);
    let input = folder.file("urls.txt", &urls(&origin, 20));
    let output = folder.path("out.jsonl");
    let flags = ["--via", &nowhere, "--via", &relay, "--rate", "100/s"];
    let done = batch(&[&flags[..], &[text(&input), "--output", text(&output)]].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_complete(&lines(&output), 20);
    let told = format!("the relay {nowhere} can't be used: Cannot connect to the relay {nowhere}");
    assert!(said(&done).contains(&told), "{}", said(&done));
}

#[tokio::test]
async fn a_run_that_is_stopped_waits_for_no_relay_and_makes_up_for_it_when_it_goes_on() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("none-left"),
    );
    // Half of what is under way may be sent twice, and much waits behind it.
    let list: String = (0..60)
        .map(|req| {
            let url = origin.url(&format!("/gate?key=k&req={req}&n=1"));
            let method = if req % 2 == 0 { "GET" } else { "POST" };
            format!("{{\"url\":\"{url}\",\"method\":\"{method}\"}}\n")
        })
        .collect();
    let input = folder.file("items.jsonl", &list);
    let output = folder.path("out.jsonl");
    let files = [text(&input), "--output", text(&output)];
    let node = Serve::start().await;
    let relay = format!("ws://{}", node.addr);
    let flags = ["--via", &relay, "--concurrency", "20"];
    let mut child = bare(&[&flags[..], &files].concat())
        .spawn()
        .expect("the binary runs");
    origin.wait_until(|stats| stats.in_flight == 20).await;
    node.signal("KILL").await;
    let _killed = node.ended().await;
    until_said(&mut child, "no relay is left").await;
    interrupt(&child).await;
    let done = timeout(PATIENCE, child.wait_with_output()).await;
    let done = done.expect("it ends").expect("its output");
    assert_eq!(done.status.code(), Some(130), "{}", said(&done));
    // Only of what may not be made again is anything written.
    let all = lines(&output);
    assert!(!all.is_empty() && all.len() < 60, "{}", all.len());
    for line in &all {
        assert_eq!(line["errorCode"], "outcome_unknown", "{line}");
        assert_eq!(line["index"].as_u64().map(|index| index % 2), Some(1));
    }
    origin.open_gate("k").expect("few keys");
    let node = Serve::start().await;
    let relay = format!("ws://{}", node.addr);
    let done = batch(&[&["--via", &relay, "--resume"], &files[..]].concat()).await;
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    let now = lines(&output);
    assert_eq!(now.len(), 60);
    let failed = now.iter().filter(|line| line["status"] != 200).count();
    assert_eq!(failed, all.len());
}

#[tokio::test]
async fn what_a_relay_refuses_names_the_relay_and_our_flags() {
    let folder = Folder::new("refused");
    let tokens = folder.file(
        "node.toml",
        "[[tokens]]\nname = \"ann\"\ntoken = \"right-token-of-ann\"\n",
    );
    let wrong = folder.file("wrong", "wrong-token-of-ann\n");
    let right = folder.file("right", "right-token-of-ann\n");
    let node = Serve::start_with(&["--config", text(&tokens)]).await;
    let relay = format!("ws://{}", node.addr);
    let input = folder.file("urls.txt", "http://10.1.2.3/\n");
    let output = folder.path("out.jsonl");
    let run = [text(&input), "--via", &relay, "--output"];
    let given = [&run[..], &["-", "--token-file", text(&wrong)]].concat();
    let done = batch(&given).await;
    assert_eq!(done.status.code(), Some(2));
    let told = sentence(&done);
    assert!(
        told.contains("set another one with --token-file") && !told.contains("Builder"),
        "{told}"
    );
    let given = [&run[..], &[text(&output), "--token-file", text(&right)]].concat();
    let done = batch(&given).await;
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    let all = lines(&output);
    assert_eq!(all[0]["errorCode"], "destination_ip_prohibited");
    let error = all[0]["error"].as_str().expect("a sentence");
    assert!(
        error.ends_with(
            "(reported by the relay, whose configuration decides, not the flags of this command)"
        ),
        "{error}"
    );
}

#[tokio::test]
async fn flags_that_relays_would_not_hear_of_are_refused() {
    let folder = Folder::new("guards");
    let input = folder.file("urls.txt", "http://10.1.2.3/\n");
    let output = folder.path("out.jsonl");
    let run = [text(&input), "--via", "ws://127.0.0.1:1", "--output"];
    for flags in [
        ["--allow-net", "10.0.0.0/8"],
        ["--set", "guard.allow-net=[\"10.0.0.0/8\"]"],
    ] {
        let done = batch(&[&run[..], &[text(&output)], &flags].concat()).await;
        assert_eq!(done.status.code(), Some(2), "{}", said(&done));
        let told = sentence(&done);
        assert!(
            told.starts_with("with --via only the relays' own guards apply"),
            "{told}"
        );
        assert!(!output.exists());
    }
}

#[tokio::test]
async fn pages_are_followed_and_rates_found_through_relays_too() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("both"),
    );
    let (one, other) = (Serve::start().await, Serve::start().await);
    let relays = [format!("ws://{}", one.addr), format!("ws://{}", other.addr)];
    let via = ["--via", &*relays[0], "--via", &*relays[1]];
    let input = folder.file("lists.txt", &follow::lists(&origin, 40, ""));
    let output = folder.path("pages.jsonl");
    let flags = [
        text(&input),
        "--output",
        text(&output),
        "--follow",
        "link:next",
    ];
    let done = batch(&[&via[..], &flags].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    follow::assert_complete(&lines(&output), 40);

    let any = "127.0.0.1:0".parse().expect("an address");
    let limited = Ledger::start(any, 64).expect("an origin");
    limited.rule(Rules {
        limit: Some(Limit {
            per_second: 100,
            kind: LimitKind::Sliding,
        }),
        ..Rules::default()
    });
    let list: String = (0..200).map(|item| limited.url(item) + "\n").collect();
    let input = folder.file("urls.txt", &list);
    let output = folder.path("out.jsonl");
    let flags = [text(&input), "--output", text(&output), "--adaptive"];
    let done = batch(&[&via[..], &flags].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_complete(&lines(&output), 200);
    assert!(said(&done).contains("  found     "), "{}", said(&done));
}

/// Fetches that a node has under way.
async fn in_flight(node: &Serve) -> u64 {
    let (_, metrics) = http(node.admin, "GET /metrics HTTP/1.1").await;
    let name = "fetchway_fetches_in_flight{lane=\"default\"} ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(name));
    count.expect("a gauge").trim().parse().expect("a number")
}
