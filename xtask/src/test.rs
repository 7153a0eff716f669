//! `cargo xtask test`: every test there is.
//!
//! Cargo reports on its own tests. The steps that are not cargo's are summed up in one last line.

use std::path::PathBuf;

use crate::command::{self, Failure, cargo, program, root, say, target_dir};
use crate::fuzz;
use crate::setup::{self, CHROMIUM, MAKE, NODE};

/// What came of the steps that are not cargo's.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

pub(crate) fn run() -> Result<(), Failure> {
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    // Every step runs, so that one run shows all that is wrong.
    let steps: [(&str, Step); 4] = [
        ("the workspace's tests", workspace),
        ("the fuzz corpora", corpora),
        ("the JavaScript client", javascript),
        ("the browser", browser),
    ];
    for (name, step) in steps {
        say(&format!("\n== {name}"));
        if let Err(failure) = step(&mut tally) {
            say(&failure.to_string());
            failures.push(name);
        }
    }
    say(&format!(
        "\n{} passed, {} failed",
        tally.passed, tally.failed
    ));
    if failures.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("failed: {}", failures.join(", "))))
}

type Step = fn(&mut Tally) -> Result<(), Failure>;

fn workspace(_: &mut Tally) -> Result<(), Failure> {
    setup::need(&MAKE)?;
    command::run(&mut cargo(&["test", "--workspace"]))
}

fn corpora(_: &mut Tally) -> Result<(), Failure> {
    fuzz::replay()
}

fn javascript(tally: &mut Tally) -> Result<(), Failure> {
    let run = || {
        let (node, binary) = prepare()?;
        Ok(node_test(node, binary, "relay"))
    };
    counted(tally, run())
}

fn browser(tally: &mut Tally) -> Result<(), Failure> {
    let run = || {
        let (node, binary) = prepare()?;
        let mut test = node_test(node, binary, "browser");
        test.env("TEST_CHROMIUM", setup::need(&CHROMIUM)?);
        Ok(test)
    };
    counted(tally, run())
}

/// node, with its packages installed, and the binary that it is to drive.
fn prepare() -> Result<(PathBuf, PathBuf), Failure> {
    let node = setup::need(&NODE)?;
    setup::npm_packages()?;
    // As part of the workspace, so that it shares the dependencies that its tests have built.
    command::run(&mut cargo(&["build", "--workspace", "--bin", "fetchway"]))?;
    Ok((node, target_dir().join("debug/fetchway")))
}

fn node_test(node: PathBuf, binary: PathBuf, suite: &str) -> std::process::Command {
    let file = format!("{suite}.test.mjs");
    let mut test = program(node, &["--test", "--test-reporter=tap", &file]);
    test.current_dir(root().join("tests/js"))
        .env("TEST_NODE_BINARY", binary);
    test
}

/// Runs a node test and adds what it reports; a step that cannot run at all is one failure.
fn counted(tally: &mut Tally, test: Result<std::process::Command, Failure>) -> Result<(), Failure> {
    let mut seen = Tally::default();
    let count =
        |line: &str, name: &str| line.strip_prefix(name).and_then(|n| n.trim().parse().ok());
    let succeeded = test.and_then(|mut test| {
        command::watch(&mut test, |line| {
            seen.passed = count(line, "# pass ").unwrap_or(seen.passed);
            for name in ["# fail ", "# cancelled "] {
                seen.failed += count(line, name).unwrap_or(0);
            }
        })
    });
    if !matches!(succeeded, Ok(true)) || seen.passed == 0 {
        seen.failed = seen.failed.max(1);
    }
    tally.passed += seen.passed;
    tally.failed += seen.failed;
    succeeded?;
    if seen.failed > 0 {
        return Err(Failure::new(format!(
            "{} tests failed; see above",
            seen.failed
        )));
    }
    Ok(())
}
