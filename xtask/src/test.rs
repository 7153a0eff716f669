//! `cargo xtask test`: runs all tests.
//!
//! Cargo prints the results of its own tests. The last line sums up all other steps.

use std::fs;
use std::path::PathBuf;

use crate::command::{self, Failure, cargo, output, program, root, say, target_dir};
use crate::setup::{self, CHROMIUM, HAPROXY, MAKE, NGINX, NODE, OPENSSL, PYTHON};
use crate::{autobahn as cases, bench, fuzz, lint};

/// Results of the steps that cargo does not count itself.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

pub(crate) fn run() -> Result<(), Failure> {
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    // Every step runs, even after a failure, so that one run shows all failures.
    let steps: [(&str, Step); 10] = [
        ("the lints", lints),
        ("the workspace's tests", workspace),
        ("the README's command", readme),
        ("the fuzz corpora", corpora),
        ("the Python client", python),
        ("the JavaScript client", javascript),
        ("the browser", browser),
        ("Autobahn's cases", autobahn),
        ("the proxies of examples/", proxies),
        ("the gateway under load", load),
    ];
    for (name, step) in steps {
        say(&format!("\n== {name}"));
        if let Err(failure) = step(&mut tally) {
            say(&failure.to_string());
            failures.push(name);
        }
    }
    say(&format!(
        "\nin addition to cargo's own tests, which are counted above:\n{} passed, {} failed",
        tally.passed, tally.failed
    ));
    if failures.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("failed: {}", failures.join(", "))))
}

/// Simulates the session machine, client and relay with `seeds` seeds, in release mode because of their number.
pub(crate) fn simulate(seeds: &str) -> Result<(), Failure> {
    if seeds.parse::<u64>().is_err() {
        return Err(Failure::new(format!("`{seeds}` is not a number of seeds")));
    }
    let test = [
        "test",
        "--release",
        "--package",
        "fetchway-wire",
        "--test",
        "v1",
        "--",
        "--exact",
        "simulation::seeds",
        "--nocapture",
    ];
    command::run(cargo(&test).env("FETCHWAY_SEEDS", seeds))
}

type Step = fn(&mut Tally) -> Result<(), Failure>;

fn lints(tally: &mut Tally) -> Result<(), Failure> {
    one(tally, lint::run(&[]))
}

fn workspace(_: &mut Tally) -> Result<(), Failure> {
    setup::need(&MAKE)?;
    command::run(&mut cargo(&["test", "--workspace"]))
}

/// Tests that the first command of the README runs fetchway, not another program of the workspace.
fn readme(tally: &mut Tally) -> Result<(), Failure> {
    let run = || {
        let path = root().join("README.md");
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())))?;
        let line = text.lines().find(|line| line.starts_with("cargo run "));
        let line =
            line.ok_or_else(|| Failure::new("README.md has no line that begins with `cargo run`"))?;
        let words = line.split_whitespace().skip(1);
        let words: Vec<&str> = words.take_while(|word| *word != "--").collect();
        // In debug mode, like the tests, and with `--version` only.
        let mut command = cargo(&[]);
        command.args(words.iter().filter(|word| **word != "--release"));
        let said = output(command.args(["--quiet", "--", "--version"]))?;
        match said.starts_with("fetchway ") {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "`{line}` from README.md does not run fetchway: its output is {said:?}"
            ))),
        }
    };
    one(tally, run())
}

fn corpora(_: &mut Tally) -> Result<(), Failure> {
    fuzz::replay()
}

fn python(tally: &mut Tally) -> Result<(), Failure> {
    let run = || {
        let python = setup::need(&PYTHON)?;
        let binary = build()?;
        let mut test = program(python, &["run.py"]);
        test.current_dir(root().join("tests/py"))
            .env("FETCHWAY_BINARY", binary)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(test)
    };
    counted(tally, run())
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

fn autobahn(tally: &mut Tally) -> Result<(), Failure> {
    counted(tally, cases::prepare())
}

/// Tests HAProxy and nginx with the configuration files of the examples.
fn proxies(tally: &mut Tally) -> Result<(), Failure> {
    let run = || {
        let python = setup::need(&PYTHON)?;
        setup::need(&OPENSSL)?;
        let (haproxy, nginx) = (setup::need(&HAPROXY)?, setup::need(&NGINX)?);
        let mut test = program(python, &["run.py"]);
        test.current_dir(root().join("tests/proxies"))
            .env("FETCHWAY_BINARY", build()?)
            .env("TEST_HAPROXY", haproxy)
            .env("TEST_NGINX", nginx)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(test)
    };
    counted(tally, run())
}

/// Runs small versions of the benches that verify counts; their timings are not judged.
fn load(tally: &mut Tally) -> Result<(), Failure> {
    const SMALL: [(&str, &str); 3] = [
        (
            "gateway-crowd",
            "--clients=3000 --gateways=3 --loads=2 --at-least=0 --every=1 --lasting=3",
        ),
        (
            "gateway-restart",
            "--clients=200 --every=0.2 --lasting=2 --kills=2 --down=0.2",
        ),
        (
            "gateway-slow",
            "--clients=300 --slow=20 --slow-rate=400 --slow-time=1.5 --slow-rounds=1",
        ),
    ];
    bench::programs()?;
    let built = target_dir().join("debug");
    let mut failed = None;
    for (mode, args) in SMALL {
        let mut bench = bench::load(&built, mode);
        match command::run(bench.args(args.split(' '))) {
            Ok(()) => tally.passed += 1,
            Err(failure) => {
                tally.failed += 1;
                failed = Some(failure);
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Installs Node.js and its packages, and builds the binary under test; returns both paths.
fn prepare() -> Result<(PathBuf, PathBuf), Failure> {
    let node = setup::need(&NODE)?;
    setup::npm_packages()?;
    Ok((node, build()?))
}

/// Builds the binary under test and returns its path.
fn build() -> Result<PathBuf, Failure> {
    // As part of the workspace, so that dependencies built for its tests are reused.
    command::run(&mut cargo(&["build", "--workspace", "--bin", "fetchway"]))?;
    Ok(target_dir().join("debug/fetchway"))
}

fn node_test(node: PathBuf, binary: PathBuf, suite: &str) -> std::process::Command {
    let file = format!("{suite}.test.mjs");
    let mut test = program(node, &["--test", "--test-reporter=tap", &file]);
    test.current_dir(root().join("tests/js"))
        .env("TEST_NODE_BINARY", binary);
    test
}

/// Counts a step as one test.
fn one(tally: &mut Tally, done: Result<(), Failure>) -> Result<(), Failure> {
    match done {
        Ok(()) => tally.passed += 1,
        Err(_) => tally.failed += 1,
    }
    done
}

/// Runs a test program and adds the numbers that it reports; a step that cannot run is one failure.
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
