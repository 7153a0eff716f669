//! `fetchway batch` as a person has it.

mod adaptive;
mod crash;
mod follow;
mod input;
mod kept;
mod stop;
mod trouble;
mod via;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use fetchway_test_origins::{TestOrigin, expected_body};
use flate2::read::MultiGzDecoder;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::serve::BINARY;

/// A folder of one test's own, gone with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("fetchway-batch-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A batch that may fetch from this machine.
pub(crate) fn command(flags: &[&str]) -> Command {
    bare(&[&["--allow-net", "127.0.0.0/8"], flags].concat())
}

/// A batch with no flag but these.
pub(crate) fn bare(flags: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .arg("batch")
        .args(flags)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) async fn batch(flags: &[&str]) -> Output {
    command(flags).output().await.expect("the binary runs")
}

/// The same with something on its standard input.
pub(crate) async fn fed(flags: &[&str], input: &str) -> Output {
    let child = command(flags).stdin(Stdio::piped()).spawn();
    let mut child: Child = child.expect("the binary runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).await.expect("it reads");
    drop(stdin);
    child.wait_with_output().await.expect("its output")
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one sentence that it said of what went wrong.
pub(crate) fn sentence(output: &Output) -> String {
    let said = said(output);
    let told = said
        .lines()
        .filter_map(|line| line.strip_prefix("fetchway: "));
    let besides = [
        "to resume: ",
        "to fetch again ",
        "resuming ",
        "this run can't",
    ];
    let wrong = told.filter(|line| !besides.iter().any(|it| line.starts_with(it)));
    let wrong: Vec<&str> = wrong.collect();
    let [one] = wrong[..] else {
        panic!("not one sentence: {said}");
    };
    one.to_owned()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

/// So many URLs, each with a body of its own.
pub(crate) fn urls(origin: &TestOrigin, count: usize) -> String {
    let url = |req| origin.url(&format!("/delay?ms=0&req={req}&size=64")) + "\n";
    (0..count).map(url).collect()
}

/// The output's lines, whole ones, however it is compressed.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let bytes = std::fs::read(path).expect("an output");
    let mut text = Vec::new();
    let name = text_of(path);
    if name.ends_with(".gz") {
        // A member cut off by a kill is no error here.
        let _torn = MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text);
    } else if name.ends_with(".zst") {
        let mut decoder = zstd::stream::read::Decoder::new(&bytes[..]).expect("a decoder");
        let _torn = decoder.read_to_end(&mut text);
    } else {
        text = bytes;
    }
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let lines = text[..whole].split_inclusive(|byte| *byte == b'\n');
    lines
        .map(|line| serde_json::from_slice(line).expect("a line of JSON"))
        .collect()
}

fn text_of(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

/// Each of `count` items once, with the body that belongs to it.
pub(crate) fn assert_complete(lines: &[Value], count: usize) {
    let by_index: BTreeMap<u64, &Value> = lines
        .iter()
        .map(|line| (line["index"].as_u64().expect("an index"), line))
        .collect();
    assert_eq!((by_index.len(), lines.len()), (count, count));
    for (index, line) in by_index {
        let body = expected_body(index, 64);
        assert_eq!(line["status"], 200, "{line}");
        assert_eq!(
            line["body"].as_str().map(str::as_bytes),
            Some(&body[..]),
            "{line}"
        );
    }
}
