//! Through relays.

use fetchway_lab::Origin;
use fetchway_testkit::http;

use super::{Folder, assert_complete, batch, command, lines, said, text, urls};
use crate::serve::Serve;

#[tokio::test]
async fn several_relays_share_a_list_and_one_schedule() {
    let (origin, folder) = (
        Origin::builder().start().expect("an origin"),
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
        Origin::builder().start().expect("an origin"),
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
    let output = folder.path("out.jsonl");
    let flags = [
        "--via",
        &relays[0],
        "--via",
        &relays[1],
        "--concurrency",
        "40",
    ];
    let given = [&flags[..], &[text(&input), "--output", text(&output)]].concat();
    let child = command(&given).spawn().expect("the binary runs");
    origin.wait_until(|stats| stats.in_flight == 40).await;
    // Whichever has more, as one may have been connected to before the other.
    let victim = if in_flight(&one).await >= 20 {
        one
    } else {
        other
    };
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
}

/// Fetches that a node has under way.
async fn in_flight(node: &Serve) -> u64 {
    let (_, metrics) = http(node.admin, "GET /metrics HTTP/1.1").await;
    let name = "fetchway_fetches_in_flight{lane=\"default\"} ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(name));
    count.expect("a gauge").trim().parse().expect("a number")
}
