//! What goes in and what comes out when nothing goes wrong, or only in the input.

use std::process::Stdio;

use fetchway_test_origins::TestOrigin;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::{Folder, assert_complete, batch, command, fed, lines, said, sentence, text, urls};

#[tokio::test]
async fn a_list_of_urls_becomes_a_line_each_at_the_rate() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("list"),
    );
    let input = folder.file("urls.txt", &urls(&origin, 300));
    let (output, log) = (folder.path("out.jsonl"), folder.path("sent.log"));
    let flags = [
        "--rate",
        "100/100ms",
        "--strict",
        "--dispatch-log",
        text(&log),
    ];
    let done = batch(&[&flags[..], &[text(&input), "--output", text(&output)]].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_complete(&lines(&output), 300);
    assert_eq!(origin.stats().requests, 300);
    let log = std::fs::read_to_string(log).expect("a log");
    let sent: Vec<u64> = log.lines().map(|at| at.parse().expect("a time")).collect();
    assert_eq!(sent.len(), 300);
    for window in sent.windows(101) {
        assert!(window[100] - window[0] > 100_000, "101 within 100 ms");
    }
    // Every line says when it was to be sent, was sent, and ended.
    for line in lines(&output) {
        let at = |what: &str| line["timing"][what].as_f64().expect("a time");
        assert!(
            at("scheduled") <= at("sent") && at("sent") <= at("firstByte"),
            "{line}"
        );
        assert!(at("firstByte") <= at("end"), "{line}");
    }
}

#[tokio::test]
async fn redirects_and_retries_are_requests() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("requests"),
    );
    let twice = origin.url("/redirect?n=2") + "\n";
    let again = origin.url("/fail?key=1&times=1&code=500") + "\n";
    let input = folder.file("urls.txt", &(twice.repeat(10) + &again));
    let (output, log) = (folder.path("out.jsonl"), folder.path("sent.log"));
    let summary = folder.path("summary.json");
    let given = [text(&input), "--output", text(&output)];
    let rate = ["--rate", "20/250ms", "--dispatch-log", text(&log)];
    let done = batch(&[&given[..], &rate, &["--summary", text(&summary)]].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let log = std::fs::read_to_string(log).expect("a log");
    let summary = std::fs::read_to_string(summary).expect("a summary");
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    assert_eq!(origin.stats().requests, 32);
    assert_eq!(log.lines().count(), 32);
    assert_eq!(summary["sends"], json!({"total": 32, "retriedItems": 1}));
    assert_eq!(summary["rate"]["windowSeconds"], 0.25);
}

/// Lines of later items stand where this one's would have to.
#[tokio::test]
async fn an_output_with_a_gap_is_not_gone_on_with_in_order() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("gap"),
    );
    let input = folder.file("urls.txt", &urls(&origin, 5));
    let output = folder.path("out.jsonl");
    let given = [text(&input), "--output", text(&output), "--ordered"];
    assert_eq!(batch(&given).await.status.code(), Some(0));
    let all = std::fs::read_to_string(&output).expect("an output");
    let gap: String = (0..)
        .zip(all.split_inclusive('\n'))
        .filter(|it| it.0 != 2)
        .map(|it| it.1)
        .collect();
    folder.file("out.jsonl", &gap);
    let done = batch(&[&given[..], &["--resume"]].concat()).await;
    assert_eq!(done.status.code(), Some(2), "{}", said(&done));
    assert!(sentence(&done).contains("item 2 has no line"));
    assert_eq!(std::fs::read_to_string(&output).expect("it"), gap);
    let done = batch(&[&given[..3], &["--resume"]].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_complete(&lines(&output), 5);
    assert_eq!(origin.stats().requests, 6);
}

#[tokio::test]
async fn json_lines_say_how_each_is_to_be_fetched() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("json"),
    );
    let item = json!({
        "id": "first", "url": origin.url("/echo"), "method": "POST",
        "headers": { "x-mine": "yes" }, "body": "hello",
    });
    let input = folder.file("items.jsonl", &format!("{item}\n"));
    let done = batch(&[text(&input), "--output", "-"]).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let line: Value = serde_json::from_slice(&done.stdout).expect("one line");
    assert_eq!(line["id"], "first");
    let echo: Value = serde_json::from_str(line["body"].as_str().expect("text")).expect("JSON");
    assert_eq!(
        (&echo["method"], &echo["body"]),
        (&json!("POST"), &json!("hello"))
    );
    let fields = echo["headers"].as_array().expect("pairs");
    assert!(fields.contains(&json!(["x-mine", "yes"])), "{echo}");
}

#[tokio::test]
async fn a_range_and_standard_streams() {
    let origin = TestOrigin::builder().start().expect("an origin");
    let template = origin.url("/delay?ms=0&req={}&size=64");
    let done = batch(&[
        "--url",
        &template,
        "--range",
        "0..99",
        "--output",
        "-",
        "--ordered",
    ])
    .await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let lines: Vec<Value> = String::from_utf8_lossy(&done.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_complete(&lines, 100);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["index"], index);
    }

    let done = fed(&["-", "--output", "-"], &urls(&origin, 3)).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_eq!(String::from_utf8_lossy(&done.stdout).lines().count(), 3);
    let done = fed(&["-", "--output", "-", "--resume"], "").await;
    assert_eq!(done.status.code(), Some(2));
    assert!(
        said(&done).contains("can't be read back"),
        "{}",
        said(&done)
    );
}

#[tokio::test]
async fn a_bad_line_is_recorded_left_out_or_stops_everything() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("bad"),
    );
    let good = origin.url("/echo");
    let input = folder.file("urls.txt", &format!("{good}\nnonsense\n{good}\n"));
    let (input, output) = (text(&input), folder.path("out.jsonl"));
    let run = async |what: &str| {
        let _fresh = std::fs::remove_file(&output);
        batch(&[input, "--output", text(&output), "--on-bad-line", what]).await
    };
    let done = run("record").await;
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    let bad = lines(&output);
    let bad = bad
        .iter()
        .find(|line| line["index"] == 1)
        .expect("its line");
    assert_eq!(bad["errorCode"], "invalid_request");
    assert!(bad["error"].to_string().contains("ine 2"), "{bad}");

    let done = run("skip").await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert!(said(&done).contains("skipped: Line 2: "), "{}", said(&done));
    assert_eq!(lines(&output).len(), 2);

    let before = origin.stats().requests;
    let done = run("stop").await;
    assert_eq!(done.status.code(), Some(2));
    assert!(said(&done).contains("ine 2"), "{}", said(&done));
    assert_eq!(origin.stats().requests, before);
}

#[tokio::test]
async fn flags_that_make_no_sense_are_refused_with_2() {
    for flags in [
        &["--output", "x"][..],
        &[
            "a",
            "--url",
            "http://h/{}",
            "--range",
            "1..2",
            "--output",
            "x",
        ],
        &["a", "--output", "x", "--strict"],
        &["a", "--output", "x", "--rate", "fast"],
        &["a", "--output", "x", "--concurrency", "0"],
    ] {
        let done = batch(flags).await;
        assert_eq!(done.status.code(), Some(2), "{flags:?}: {}", said(&done));
    }
}

#[tokio::test]
async fn a_value_that_makes_no_sense_is_told_by_its_own_flag() {
    let url = ["--url", "http://h/{}"];
    for (flags, says) in [
        (["--rate", "-1/s"], "expected a rate of at least one"),
        (["--retries", "-1"], "invalid value '-1' for '--retries"),
        (["--timeout", "-1s"], "expected a duration with a unit"),
        (["--timeout", "0s"], "must be more than 0s"),
        (
            ["--concurrency", "-1"],
            "expected a whole number, 1 or more",
        ),
        (["--range", "-3..3"], "\"-3..3\" is not a range of numbers"),
        (["--range", "1-3"], "write one as 1..1000000"),
    ] {
        let done = batch(&[&url[..], &flags, &["--output", "x"]].concat()).await;
        assert_eq!(done.status.code(), Some(2), "{flags:?}: {}", said(&done));
        assert!(said(&done).contains(says), "{flags:?}: {}", said(&done));
    }
}

#[tokio::test]
async fn help_is_in_groups_and_ends_with_examples() {
    let done = batch(&["--help"]).await;
    let help = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success());
    let groups = [
        "Input:",
        "Output:",
        "Rate:",
        "Fetches:",
        "Through relays:",
        "Examples:",
    ];
    let at: Vec<_> = groups
        .iter()
        .map(|it| help.find(&format!("\n{it}\n")))
        .collect();
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{help}");
}

#[tokio::test]
async fn a_line_of_a_pipe_is_fetched_before_the_next_comes() {
    let origin = TestOrigin::builder().start().expect("an origin");
    let mut child = command(&["-", "--output", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    // Several at once, and then nothing: all have their outcome nevertheless.
    stdin
        .write_all(urls(&origin, 5).as_bytes())
        .await
        .expect("it reads");
    let mut outcomes = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    for _ in 0..5 {
        let line = outcomes.next_line().await.expect("a line");
        assert!(line.is_some(), "all have one");
    }
    drop(stdin);
    assert!(child.wait().await.expect("it ends").success());
}

#[tokio::test]
async fn what_would_cost_outcomes_or_time_is_refused() {
    let folder = Folder::new("same");
    let input = folder.file("urls.txt", "http://127.0.0.1:1/\n");
    let output = folder.path("out.jsonl");
    let (input, output) = (text(&input), text(&output));
    for (other, twice) in [
        ("--summary", output),
        ("--report", output),
        ("--dispatch-log", input),
    ] {
        let done = batch(&[input, "--output", output, other, twice]).await;
        assert_eq!(done.status.code(), Some(2), "{}", said(&done));
        assert!(said(&done).contains("name two files"), "{}", said(&done));
        assert_eq!(std::fs::metadata(input).expect("it is there").len(), 20);
    }
    for (rate, says) in [
        ("2000000/s", "at most 1000000 requests"),
        ("unlimited", "--strict needs a rate"),
    ] {
        let rate = ["--rate", rate, "--strict"];
        let done = batch(&[&[input, "--output", output][..], &rate].concat()).await;
        assert_eq!(done.status.code(), Some(2), "{}", said(&done));
        assert!(sentence(&done).contains(says), "{}", said(&done));
    }
}
