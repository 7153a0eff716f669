//! Ctrl-C.

use fetchway_test_origins::TestOrigin;
use fetchway_testkit::PATIENCE;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Folder, batch, command, lines, said, text};

pub(super) async fn interrupt(child: &Child) {
    let pid = child.id().expect("it lives").to_string();
    let sent = Command::new("kill")
        .args(["-s", "INT", &pid])
        .status()
        .await;
    assert!(sent.expect("kill runs").success());
}

/// Reads what it says up to a line that has `what` in it.
pub(super) async fn until_said(child: &mut Child, what: &str) -> String {
    let stderr = child.stderr.as_mut().expect("a pipe");
    let mut lines = BufReader::new(stderr).lines();
    let mut all = String::new();
    let reading = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            all.push_str(&line);
            if line.contains(what) {
                return true;
            }
        }
        false
    };
    let found = timeout(PATIENCE, reading).await.expect("it says something");
    assert!(found, "it did not say {what:?}: {all}");
    all
}

/// Fifty that wait at a gate and fifty that would come after.
fn input(origin: &TestOrigin) -> String {
    let url = |req: usize| {
        let path = match req {
            0..50 => format!("/gate?key=k&req={req}&n=1"),
            _ => "/echo".to_owned(),
        };
        origin.url(&path) + "\n"
    };
    (0..100).map(url).collect()
}

#[tokio::test]
async fn the_first_finishes_what_is_in_flight_and_tells_how_to_go_on() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("int"),
    );
    let list = folder.file("urls.txt", &input(&origin));
    let output = folder.path("out file.jsonl");
    let given = [
        text(&list),
        "--output",
        text(&output),
        "--concurrency",
        "50",
    ];
    let mut child = command(&given).spawn().expect("the binary runs");
    origin.wait_until(|stats| stats.in_flight == 50).await;
    interrupt(&child).await;
    until_said(&mut child, "stopping: 50 fetches in flight").await;
    origin.open_gate("k").expect("few keys");
    let done = child.wait_with_output().await.expect("its end");
    assert_eq!(done.status.code(), Some(130), "{}", said(&done));
    let told = said(&done);
    let told = told.lines().find_map(|line| line.split_once("to resume: "));
    let told = told.expect("the command").1;
    assert!(
        told.ends_with("--resume") && told.contains("out file.jsonl'"),
        "{told}"
    );
    assert_eq!((lines(&output).len(), origin.stats().requests), (50, 50));
    // A shell goes on with it.
    let done = Command::new("sh")
        .args(["-c", told])
        .env_clear()
        .output()
        .await;
    let done = done.expect("a shell");
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_eq!((lines(&output).len(), origin.stats().requests), (100, 100));
}

#[tokio::test]
async fn the_second_ends_it_at_once_and_nothing_written_is_lost() {
    let (origin, folder) = (
        TestOrigin::builder().start().expect("an origin"),
        Folder::new("twice"),
    );
    let url = |req: usize| {
        let path = match req % 2 {
            0 => format!("/delay?ms=0&req={req}&size=64"),
            _ => format!("/gate?key=k&req={req}&size=64"),
        };
        origin.url(&path) + "\n"
    };
    let list: String = (0..100).map(url).collect();
    let list = folder.file("urls.txt", &list);
    let output = folder.path("out.jsonl");
    let given = [
        text(&list),
        "--output",
        text(&output),
        "--concurrency",
        "50",
    ];
    let mut child = command(&given).spawn().expect("the binary runs");
    // All that does not wait at the gate is done.
    origin
        .wait_until(|stats| stats.in_flight == 50 && stats.completed == 50)
        .await;
    interrupt(&child).await;
    until_said(&mut child, "stopping").await;
    interrupt(&child).await;
    let done = child.wait_with_output().await.expect("its end");
    assert_eq!(done.status.code(), Some(130));
    assert!(said(&done).contains("to resume: "), "{}", said(&done));
    origin.wait_until(|stats| stats.in_flight == 0).await;
    origin.open_gate("k").expect("few keys");
    let done = batch(&[&given[..], &["--resume"]].concat()).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_eq!(lines(&output).len(), 100);
}
