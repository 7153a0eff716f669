//! What goes wrong midway: one clear sentence each, what was done is kept, and the same command goes on
//! when it is put right.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Output;

use fetchway_test_origins::TestOrigin;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tokio::process::Command;

use super::{Folder, assert_complete, batch, command, lines, said, sentence, text, urls};
use crate::serve::BINARY;

/// Goes on with a run, which is then to be complete, and fetches only what it did not have.
async fn goes_on(origin: &TestOrigin, given: &[&str], how: &str, missing: usize) {
    let before = origin.stats().requests;
    let done = batch(&[given, &[how]].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let asked = origin.stats().requests - before;
    assert_eq!(asked as usize, missing, "{}", said(&done));
}

/// The command that it gives to go on.
fn told(output: &Output, how: &str) -> bool {
    let said = said(output);
    said.lines()
        .any(|line| line.starts_with("fetchway: to ") && line.ends_with(how))
}

fn of_index(all: &[Value], index: u64) -> &Value {
    let found = all.iter().find(|line| line["index"] == index);
    found.expect("its line")
}

/// Each of so many items has one line, of the status 200.
fn assert_succeeded(all: &[Value], count: usize) {
    let indexes: BTreeSet<_> = all.iter().map(|line| line["index"].as_u64()).collect();
    assert_eq!((all.len(), indexes.len()), (count, count));
    assert!(all.iter().all(|line| line["status"] == 200));
}

#[tokio::test]
async fn a_full_disk() {
    disk_fills("out.jsonl").await;
}

#[tokio::test]
async fn a_full_disk_and_gzip() {
    disk_fills("out.jsonl.gz").await;
}

#[tokio::test]
async fn a_full_disk_and_zstd() {
    disk_fills("out.jsonl.zst").await;
}

async fn disk_fills(name: &str) {
    const ITEMS: usize = 3_000;
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new(&format!("full-{name}")),
    );
    let input = folder.file("urls.txt", &urls(&origin, ITEMS));
    let output = folder.path(name);
    let given = [text(&input), "--output", text(&output)];
    let summary = folder.path("summary.json");
    // A process that may write no file beyond 256 blocks of 512 bytes stands for a disk that is full.
    let limit = "trap '' XFSZ; ulimit -f 256; exec \"$0\" \"$@\"";
    let limited = Command::new("sh")
        .args(["-c", limit, BINARY, "batch", "--allow-net", "127.0.0.0/8"])
        .args(given)
        .args(["--summary", text(&summary)])
        .env_clear()
        .output()
        .await
        .expect("a shell");
    assert_eq!(limited.status.code(), Some(2), "{}", said(&limited));
    assert_eq!(
        sentence(&limited),
        format!(
            "the output {} cannot be continued: File too large (os error 27); correct that and \
             resume",
            text(&output)
        )
    );
    assert!(told(&limited, "--resume"), "{}", said(&limited));
    let kept = lines(&output);
    assert!(!kept.is_empty() && kept.len() < ITEMS, "{}", kept.len());
    let summary = std::fs::read(&summary).expect("a summary");
    let summary: Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(summary["items"]["done"], kept.len(), "what has a line");
    goes_on(&origin, &given, "--resume", ITEMS - kept.len()).await;
    let all = lines(&output);
    assert_complete(&all, ITEMS);
    assert_eq!(all[..kept.len()], kept, "what was written stays");
}

#[tokio::test]
async fn another_input_than_before() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("changed"),
    );
    let list = urls(&origin, 20);
    let input = folder.file("urls.txt", &list);
    let output = folder.path("out.jsonl");
    let given = [text(&input), "--output", text(&output)];
    assert_eq!(batch(&given).await.status.code(), Some(0));
    let kept = std::fs::read(&output).expect("an output");

    let gone: String = list
        .lines()
        .take(15)
        .map(|url| format!("{url}\n"))
        .collect();
    for (other, index) in [(list.replace("req=7&", "req=77&"), 7), (gone, 15)] {
        folder.file("urls.txt", &other);
        let done = batch(&[&given[..], &["--resume"]].concat()).await;
        assert_eq!(done.status.code(), Some(2));
        let says = sentence(&done);
        let begins = format!(
            "the input {} is not the one that the output {} is of: item {index} ",
            text(&input),
            text(&output)
        );
        assert!(says.starts_with(&begins), "{says}");
        let remedy = "give the input as it was, or begin another output";
        assert!(says.ends_with(remedy), "{says}");
        assert_eq!(std::fs::read(&output).expect("an output"), kept);
    }
    // Nor is what there is written over.
    let done = batch(&given).await;
    assert_eq!(done.status.code(), Some(2));
    assert!(sentence(&done).ends_with("exists already: resume it, remove it or choose another"));

    folder.file("urls.txt", &urls(&origin, 25));
    goes_on(&origin, &given, "--resume", 5).await;
    assert_complete(&lines(&output), 25);
}

/// Fifty that wait at a gate, and so many that have not been read when they do.
fn gated(origin: &TestOrigin, count: usize) -> String {
    let url = |req: usize| {
        let path = match req {
            0..50 => format!("/gate?key=k&req={req}&n=1"),
            _ => format!("/delay?ms=0&req={req}"),
        };
        origin.url(&path) + "\n"
    };
    (0..count).map(url).collect()
}

#[tokio::test]
async fn an_input_that_becomes_shorter_and_then_is_gone() {
    const ITEMS: usize = 20_000;
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("shorter"),
    );
    let list = gated(&origin, ITEMS);
    let input = folder.file("urls.txt", &list);
    let output = folder.path("out.jsonl");
    let given = [
        text(&input),
        "--output",
        text(&output),
        "--concurrency",
        "50",
    ];
    let child = command(&given).spawn().expect("the binary runs");
    origin.wait_until(|stats| stats.in_flight == 50).await;
    // Items wait to be sent, so the reader is far from here.
    let half = list.len() / 2;
    let half = half + list[half..].find('\n').expect("a line") + 1;
    let file = OpenOptions::new().write(true).open(&input).expect("a file");
    file.set_len(half as u64).expect("it is cut");
    origin.open_gate("k").expect("few keys");
    let done = child.wait_with_output().await.expect("its end");
    assert_eq!(done.status.code(), Some(2), "{}", said(&done));
    let first = list[..half].lines().count();
    assert_eq!(
        sentence(&done),
        format!(
            "the input {} became shorter while it was read: it ends after line {first} now; correct \
             that and resume",
            text(&input)
        )
    );
    assert!(told(&done, "--resume"), "{}", said(&done));
    assert_succeeded(&lines(&output), first);

    std::fs::remove_file(&input).expect("it is there");
    let done = batch(&[&given[..], &["--resume"]].concat()).await;
    assert_eq!(done.status.code(), Some(2), "{}", said(&done));
    assert_eq!(
        sentence(&done),
        format!(
            "the input {} cannot be read: No such file or directory (os error 2); correct that, or \
             give another",
            text(&input)
        )
    );
    assert_succeeded(&lines(&output), first);
    folder.file("urls.txt", &list);
    goes_on(&origin, &given, "--resume", ITEMS - first).await;
    assert_succeeded(&lines(&output), ITEMS);
}

#[tokio::test]
async fn a_compressed_input_that_is_cut_off() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("cut"),
    );
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let list = urls(&origin, 2_000);
    encoder.write_all(list.as_bytes()).expect("in memory");
    let whole = encoder.finish().expect("in memory");
    let input = folder.path("urls.gz");
    std::fs::write(&input, &whole[..whole.len() / 2]).expect("a file");
    let output = folder.path("out.jsonl");
    let given = [text(&input), "--output", text(&output)];
    let done = batch(&given).await;
    assert_eq!(done.status.code(), Some(2), "{}", said(&done));
    let (says, kept) = (sentence(&done), lines(&output).len());
    let begins = format!("the input {} cannot be read on from line ", text(&input));
    assert!(says.starts_with(&begins), "{says}");
    assert!(says.ends_with("; correct that and resume"), "{says}");
    assert!(told(&done, "--resume") && kept > 0, "{}", said(&done));
    std::fs::write(&input, &whole).expect("a file");
    goes_on(&origin, &given, "--resume", 2_000 - kept).await;
    assert_complete(&lines(&output), 2_000);
}

#[tokio::test]
async fn an_origin_that_dies() {
    const ITEMS: usize = 300;
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("dies"),
    );
    let url = |req: usize| {
        let path = match req {
            0..100 => format!("/delay?ms=0&req={req}"),
            _ => format!("/gate?key=k&req={req}&n=1"),
        };
        origin.url(&path) + "\n"
    };
    let input = folder.file("urls.txt", &(0..ITEMS).map(url).collect::<String>());
    let output = folder.path("out.jsonl");
    let given = [text(&input), "--output", text(&output), "--retries", "1"];
    let given = [&given[..], &["--concurrency", "20"]].concat();
    let child = command(&given).spawn().expect("the binary runs");
    let address = origin.addr();
    let at_gate =
        |stats: &fetchway_test_origins::Stats| stats.in_flight == 20 && stats.completed == 100;
    origin.wait_until(at_gate).await;
    origin.stop().await;
    let done = child.wait_with_output().await.expect("its end");
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    assert!(told(&done, "--retry-failed"), "{}", said(&done));
    let all = lines(&output);
    assert_eq!(all.len(), ITEMS);
    // Those that waited at the gate may have met its last moments twice.
    let met = |name: &str| all.iter().filter(|line| line["errorCode"] == name).count();
    let (refused, lost) = (met("connection_refused"), met("connection_terminated"));
    assert!(refused + lost == 200 && lost <= 20, "{refused}, {lost}");
    let says = format!("{address} refused the connection: is it running, and on this port?");
    assert_eq!(of_index(&all, 299)["error"], says);
    let origin = TestOrigin::builder()
        .addr(address)
        .start()
        .expect("it is free");
    origin.open_gate("k").expect("few keys");
    goes_on(&origin, &given, "--retry-failed", 200).await;
    assert_succeeded(&lines(&output), ITEMS);
}

#[tokio::test]
async fn a_name_that_is_not_found() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("name"),
    );
    let list = origin.url("/echo") + "\n" + &origin.url_at("origin.invalid", "/echo") + "\n";
    let input = folder.file("urls.txt", &list);
    let output = folder.path("out.jsonl");
    let given = [text(&input), "--output", text(&output), "--retries", "1"];
    let done = batch(&given).await;
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    assert!(told(&done, "--retry-failed"), "{}", said(&done));
    let all = lines(&output);
    let (good, bad) = (of_index(&all, 0), of_index(&all, 1));
    assert_eq!(
        (&good["status"], &bad["errorCode"]),
        (&200.into(), &"dns_error".into())
    );
    let says = bad["error"].as_str().expect("a sentence");
    assert!(
        says.starts_with("The host origin.invalid could not be resolved"),
        "{says}"
    );
    assert!(says.ends_with("check the name."), "{says}");
    // The name is there again.
    let given = [
        &given[..],
        &["--set", r#"hosts."origin.invalid"="127.0.0.1""#],
    ]
    .concat();
    goes_on(&origin, &given, "--retry-failed", 1).await;
    assert_succeeded(&lines(&output), 2);
}

#[tokio::test]
async fn bodies_that_never_end() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("endless"),
    );
    // As fast as it goes; by the byte; and not at all.
    let endless = [
        "/slow?chunks=1000000000&gap_ms=0&size=65536",
        "/slow?chunks=1000000000&gap_ms=10&size=1",
        "/stall?after=10",
    ];
    let endless = endless.iter().map(|path| origin.url(path) + "\n");
    let list: String = endless.collect::<String>() + &urls(&origin, 20);
    let input = folder.file("urls.txt", &list);
    let output = folder.path("out.jsonl");
    let flags = [
        "--timeout",
        "2s",
        "--set",
        "lanes.default.response-cap=1MiB",
        "--set",
        "lanes.default.body-idle-timeout=1s",
        "--concurrency",
        "4",
    ];
    let given = [&flags[..], &[text(&input), "--output", text(&output)]].concat();
    let done = batch(&given).await;
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    let all = lines(&output);
    assert_eq!(all.len(), 23);
    for (index, name, says) in [
        (
            0,
            "http_response_body_size",
            "The response body has more than 1 MiB",
        ),
        (1, "http_response_timeout", "The fetch took longer than 2s"),
        (2, "connection_read_timeout", ""),
    ] {
        let line = of_index(&all, index);
        assert_eq!(line["errorCode"], name, "{line}");
        let error = line["error"].as_str().expect("a sentence");
        assert!(error.starts_with(says) && error.ends_with('.'), "{error}");
    }
    let succeeded = all.iter().filter(|line| line["status"] == 200).count();
    assert_eq!(succeeded, 20);
    origin.wait_until(|stats| stats.in_flight == 0).await;
    // They have their lines; only who asks for it has them tried again.
    let before = origin.stats().requests;
    let done = batch(&[&given[..], &["--resume"]].concat()).await;
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    assert_eq!(origin.stats().requests, before);
    let done = batch(&[&given[..], &["--retry-failed"]].concat()).await;
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    assert_eq!((lines(&output).len(), origin.stats().requests), (23, 26));
}
