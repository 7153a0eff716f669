//! What goes wrong outside, told by names in the lines, or before anything is fetched. `kept` has what
//! goes wrong midway.

use fetchway_test_origins::TestOrigin;

use super::{Folder, batch, lines, said, sentence, text, urls};
use crate::serve::BINARY;

#[tokio::test]
async fn private_addresses_are_refused_unless_allowed() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
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
    // What to do stands on the terminal too, not only in each line.
    let example = "  such as   destination_ip_prohibited: ";
    let told = said(&done);
    let told = told.lines().find(|line| line.starts_with(example));
    assert!(
        told.is_some_and(|line| line.contains("`--allow-net 127.0.0.1` allows it")),
        "{}",
        said(&done)
    );
}

#[tokio::test]
async fn dead_origins_and_bodies_without_end_are_named() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("dead"),
    );
    let gone = TestOrigin::builder().start().expect("an origin");
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
async fn what_cannot_be_written_or_read_is_told_before_anything_is_fetched() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("unwritable"),
    );
    let input = folder.file("urls.txt", &urls(&origin, 3));
    let output = folder.path("out.jsonl");
    let (input, output) = (text(&input), text(&output));
    let nowhere = "/no/such/folder/file";
    for (flags, says) in [
        (
            [input, "--output", nowhere].as_slice(),
            "the output /no/such/folder/file cannot be created: No such file or directory (os error 2); \
             choose another",
        ),
        (
            &[nowhere, "--output", output],
            "the input /no/such/folder/file cannot be read: No such file or directory (os error 2); correct \
             that, or give another",
        ),
        (
            &[input, "--output", output, "--summary", nowhere],
            "the summary /no/such/folder/file can't be written, so nothing was fetched; choose another file: \
             No such file or directory (os error 2)",
        ),
        (
            &[input, "--output", "-", "--bodies", "/proc/bodies"],
            "the folder for bodies /proc/bodies cannot be made: No such file or directory (os error 2); \
             choose another",
        ),
        (
            &[input, "--output", output, "--dispatch-log", nowhere],
            "the dispatch log /no/such/folder/file can't be written, so nothing was fetched; choose \
             another file: No such file or directory (os error 2)",
        ),
        (
            &[input, "--output", output, "--report", "-"],
            "the report can't be written to -: name a file, such as /dev/stdout",
        ),
    ] {
        let done = batch(flags).await;
        assert_eq!(done.status.code(), Some(2), "{}", said(&done));
        assert_eq!(sentence(&done), says);
        assert!(!std::path::Path::new(output).exists(), "{says}");
    }
    // What others say of theirs may change: that it is known first does not.
    for flags in [
        ["--set", "fetch.ca-file=/no/such/file"].as_slice(),
        &["--via", "ws://127.0.0.1:1"],
        &["--via", "ws://127.0.0.1:1", "--token-file", nowhere],
    ] {
        let done = tokio::process::Command::new(BINARY)
            .args(["batch", input, "--output", output])
            .args(flags)
            .env_clear()
            .output()
            .await
            .expect("the binary runs");
        assert_eq!(done.status.code(), Some(2), "{}", said(&done));
        assert!(!std::path::Path::new(output).exists(), "{flags:?}");
    }
    assert_eq!(origin.stats().requests, 0);
    let done = batch(&[input, "--output", output]).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_eq!(lines(output.as_ref()).len(), 3);
}

#[tokio::test]
async fn a_device_that_is_full_is_told_and_nothing_is_promised_of_it() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("device"),
    );
    let input = folder.file("urls.txt", &urls(&origin, 3));
    let done = batch(&[text(&input), "--output", "/dev/full"]).await;
    assert_eq!(done.status.code(), Some(2), "{}", said(&done));
    assert_eq!(
        sentence(&done),
        "the output cannot be continued: No space left on device (os error 28); correct that and \
         start the run again"
    );
    assert!(said(&done).contains("can't be resumed"), "{}", said(&done));
}
