//! Killed at any moment, resumed, complete.

use std::path::Path;

use fetchway_test_origins::TestOrigin;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{Folder, assert_complete, batch, command, lines, said, text, urls};

const ITEMS: usize = 2_000;
/// For each kind of output. `cargo xtask bench batch` kills more of larger runs.
const KILLS: usize = 4;
const IN_FLIGHT: usize = 50;

#[tokio::test]
async fn kill_9_and_resume_plain() {
    killed_and_resumed("out.jsonl", &[]).await;
}

#[tokio::test]
async fn kill_9_and_resume_gzip() {
    killed_and_resumed("out.jsonl.gz", &[]).await;
}

#[tokio::test]
async fn kill_9_and_resume_zstd() {
    killed_and_resumed("out.jsonl.zst", &[]).await;
}

#[tokio::test]
async fn kill_9_and_resume_zstd_in_order() {
    killed_and_resumed("out.jsonl.zst", &["--ordered"]).await;
}

#[expect(clippy::print_stdout, reason = "a failure is repeated from its seed")]
async fn killed_and_resumed(name: &str, flags: &[&str]) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = Folder::new(&format!("{name}{}", flags.concat()));
    for _ in 0..KILLS {
        let origin = TestOrigin::builder().start().expect("an origin");
        let input = folder.file("urls.txt", &urls(&origin, ITEMS));
        let output = folder.path(name);
        let _fresh = std::fs::remove_file(&output);
        let most = IN_FLIGHT.to_string();
        let given = [
            text(&input),
            "--output",
            text(&output),
            "--concurrency",
            &most,
        ];
        let given = [&given[..], flags].concat();
        let at = random.random_range(1..ITEMS as u64);
        killed_when(&origin, &given, at).await;
        let kept = lines_if_any(&output);
        let before = origin.stats().requests;
        let done = batch(&[&given[..], &["--resume"]].concat()).await;
        assert_eq!(done.status.code(), Some(0), "{}", said(&done));
        let all = lines(&output);
        assert_complete(&all, ITEMS);
        assert_eq!(all[..kept.len()], kept, "what was written stays");
        // What was in flight, or not written yet, is fetched again; nothing that was written is.
        let again = origin.stats().requests - before;
        assert_eq!(again as usize, ITEMS - kept.len());
        if flags.is_empty() {
            let twice = before as usize + again as usize - ITEMS;
            assert!(twice <= IN_FLIGHT, "{twice} were fetched twice");
        } else {
            let in_order = all.iter().enumerate().all(|(at, line)| line["index"] == at);
            assert!(in_order, "out of order");
        }
    }
}

/// Runs the batch until the origin has had so many requests, and kills it.
pub(super) async fn killed_when(origin: &TestOrigin, flags: &[&str], requests: u64) {
    let mut child = command(flags).spawn().expect("the binary runs");
    origin.wait_until(|stats| stats.requests >= requests).await;
    // It may have ended by now, if this was near its end.
    let _gone = child.start_kill();
    child.wait().await.expect("its end");
    origin.wait_until(|stats| stats.in_flight == 0).await;
}

fn lines_if_any(output: &Path) -> Vec<serde_json::Value> {
    match output.exists() {
        true => lines(output),
        false => Vec::new(),
    }
}

#[tokio::test]
async fn what_failed_is_fetched_again_when_asked_for() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("again"),
    );
    let url = |key| origin.url(&format!("/fail?key={key}&times=1&code=500"));
    let good = origin.url("/echo");
    let input = folder.file("urls.txt", &format!("{good}\n{}\n{}\n", url(1), url(2)));
    let output = folder.path("out.jsonl");
    let given = [text(&input), "--output", text(&output), "--retries", "0"];
    let done = batch(&given).await;
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    // Resumed, it has an answer for everything, failures too.
    let done = batch(&[&given[..], &["--resume"]].concat()).await;
    assert_eq!((done.status.code(), origin.stats().requests), (Some(1), 3));
    assert!(said(&done).contains("--retry-failed"), "{}", said(&done));
    let done = batch(&[&given[..], &["--retry-failed"]].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_eq!(origin.stats().requests, 5);
    let all = lines(&output);
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|line| line["status"] == 200));
}
