//! `cargo xtask fuzz`: libFuzzer on a stable compiler.
//!
//! libFuzzer needs instrumented code, not a nightly: the flags below are what cargo-fuzz passes.
//! They are given with an explicit target, or build scripts would be instrumented too.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{self, Failure, cargo, output, program, root, target_dir};

const TARGETS: [&str; 9] = [
    "batch_output",
    "gateway_reader",
    "proxy_protocol",
    "relay_json",
    "upstream_h1",
    "upstream_h2",
    "v1_frames",
    "v1_session",
    "ws_reader",
];

const INSTRUMENT: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cdebug-assertions -Coverflow-checks --cfg fuzzing";

const MANIFEST: &str = "fuzz/Cargo.toml";

/// Fuzzes `target` from its committed corpus for `seconds`.
pub(crate) fn run(target: &str, seconds: &str) -> Result<(), Failure> {
    if !TARGETS.contains(&target) {
        return Err(Failure::new(format!(
            "there is no fuzz target {target}; there are {}",
            TARGETS.join(", ")
        )));
    }
    let seconds: u32 = seconds
        .parse()
        .map_err(|_| Failure::new(format!("{seconds} is not a number of seconds")))?;
    let triple = host()?;
    let build = [
        "build",
        "--release",
        "--manifest-path",
        MANIFEST,
        "--features",
        "libfuzzer",
        "--bin",
        target,
        "--target",
        &triple,
    ];
    command::run(
        cargo(&build)
            .env("RUSTFLAGS", INSTRUMENT)
            .env("CARGO_TARGET_DIR", built()),
    )?;

    // New inputs go to the first folder, so the committed one stays as it is.
    let found = built().join("corpus").join(target);
    let artifacts = built().join("artifacts").join(target);
    for folder in [&found, &artifacts] {
        fs::create_dir_all(folder).map_err(|error| {
            Failure::new(format!(
                "the folder {} cannot be made: {error}",
                folder.display()
            ))
        })?;
    }
    let committed = root().join("fuzz/corpus").join(target);
    let fuzzer = built().join(triple).join("release").join(target);
    let mut fuzz = program(
        fuzzer,
        &["-timeout=5", "-rss_limit_mb=2048", "-print_final_stats=1"],
    );
    fuzz.arg(format!("-max_total_time={seconds}"));
    fuzz.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command::run(fuzz.args([found, committed]))
}

/// Runs each committed corpus through its target's check, without fuzzing.
pub(crate) fn replay() -> Result<(), Failure> {
    // Beside the workspace's own: crates that both build alike are built once.
    command::run(
        cargo(&["test", "--manifest-path", MANIFEST]).env("CARGO_TARGET_DIR", target_dir()),
    )
}

fn built() -> PathBuf {
    Path::new(&root()).join("fuzz/target")
}

fn host() -> Result<String, Failure> {
    let version = output(&mut program("rustc", &["-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| Failure::new("rustc -vV names no host; update Rust"))
}
