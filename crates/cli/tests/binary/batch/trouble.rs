//! What goes wrong outside: one clear sentence each, and what was done is kept.

use fetchway_lab::Origin;

use super::{Folder, assert_complete, batch, command, lines, said, text, urls};
use crate::serve::BINARY;

#[tokio::test]
async fn private_addresses_are_refused_unless_allowed() {
    let (origin, folder) = (
        Origin::builder().start().expect("an origin"),
        Folder::new("guard"),
    );
    let input = folder.file("urls.txt", &urls(&origin, 3));
    let output = folder.path("out.jsonl");
    let done = tokio::process::Command::new(BINARY)
        .args(["batch", text(&input), "--output", text(&output)])
        .env_clear()
        .output()
        .await
        .expect("the binary runs");
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    for line in lines(&output) {
        assert_eq!(line["errorCode"], "destination_ip_prohibited", "{line}");
    }
    assert_eq!(origin.stats().connections, 0);
}

#[tokio::test]
async fn dead_origins_and_bodies_without_end_are_named() {
    let (origin, folder) = (
        Origin::builder().start().expect("an origin"),
        Folder::new("dead"),
    );
    let gone = Origin::builder().start().expect("an origin");
    let refused = gone.url("/");
    drop(gone);
    let list = [
        refused,
        "http://nowhere.invalid/".to_owned(),
        origin.url("/bytes?n=100000000"),
        origin.url("/stall?after=10&n=20"),
        origin.url("/cut?after=10&n=20"),
    ];
    let input = folder.file("urls.txt", &list.join("\n"));
    let output = folder.path("out.jsonl");
    let flags = ["--retries", "0", "--timeout", "1s"];
    let flags = [&flags[..], &["--set", "lanes.default.response-cap=1MiB"]].concat();
    let done = batch(&[&flags[..], &[text(&input), "--output", text(&output)]].concat()).await;
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    let mut all = lines(&output);
    all.sort_by_key(|line| line["index"].as_u64());
    let names: Vec<_> = all.iter().map(|line| line["errorCode"].as_str()).collect();
    let dns = names[1].expect("a name");
    assert!(dns.starts_with("dns_"), "{dns}");
    assert_eq!(
        [names[0], names[2], names[3], names[4]],
        [
            Some("connection_refused"),
            Some("http_response_body_size"),
            Some("http_response_timeout"),
            Some("http_response_incomplete"),
        ]
    );
    // Each has one sentence that says more.
    for line in all {
        let detail = line["error"].as_str().expect("a sentence");
        assert!(detail.len() > 20, "{detail}");
    }
}

#[tokio::test]
async fn an_output_that_cannot_be_written_ends_the_run_with_2() {
    let (origin, folder) = (
        Origin::builder().start().expect("an origin"),
        Folder::new("full"),
    );
    let input = folder.file("urls.txt", &urls(&origin, 3));
    for (output, says) in [
        ("/dev/full", "No space left"),
        ("/no/such/folder/out.jsonl", "cannot be created"),
    ] {
        let done = batch(&[text(&input), "--output", output]).await;
        assert_eq!(done.status.code(), Some(2), "{}", said(&done));
        assert!(said(&done).contains(says), "{}", said(&done));
    }
    let done = batch(&["/no/such/input.txt", "--output", "-"]).await;
    assert_eq!(done.status.code(), Some(2));
    assert!(said(&done).contains("cannot be read"), "{}", said(&done));
}

#[tokio::test]
async fn a_full_disk_keeps_what_was_done_and_the_run_goes_on_when_there_is_room() {
    let (origin, folder) = (
        Origin::builder().start().expect("an origin"),
        Folder::new("limit"),
    );
    let input = folder.file("urls.txt", &urls(&origin, 500));
    let output = folder.path("out.jsonl");
    let given = [text(&input), "--output", text(&output)];
    // A process that may write no file beyond 64 blocks of 512 bytes stands for a disk that is full.
    let flags: Vec<&str> = ["batch", "--allow-net", "127.0.0.0/8"]
        .into_iter()
        .chain(given)
        .collect();
    let limited = tokio::process::Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"",
            BINARY,
        ])
        .args(&flags)
        .env_clear()
        .output()
        .await
        .expect("a shell");
    assert_eq!(limited.status.code(), Some(2), "{}", said(&limited));
    assert!(said(&limited).contains("to go on: "), "{}", said(&limited));
    let kept = lines(&output);
    assert!(!kept.is_empty() && kept.len() < 500, "{} lines", kept.len());
    let before = origin.stats().requests;
    let done = command(&[&given[..], &["--resume"]].concat())
        .output()
        .await;
    let done = done.expect("the binary runs");
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_complete(&lines(&output), 500);
    assert_eq!(
        (origin.stats().requests - before) as usize,
        500 - kept.len()
    );
}
