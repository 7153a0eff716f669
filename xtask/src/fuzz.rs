//! `cargo xtask fuzz`: runs libFuzzer with a stable compiler.
//!
//! libFuzzer needs instrumented code, but no nightly compiler: the flags below are those of cargo-fuzz. The build
//! has an explicit target, because otherwise build scripts would be instrumented too.

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
            "unknown fuzz target `{target}`: use one of {}",
            TARGETS.join(", ")
        )));
    }
    let seconds: u32 = seconds
        .parse()
        .map_err(|_| Failure::new(format!("`{seconds}` is not a number of seconds")))?;
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

    // libFuzzer writes new inputs to the first folder, so the committed corpus does not change.
    let found = built().join("corpus").join(target);
    let artifacts = built().join("artifacts").join(target);
    for folder in [&found, &artifacts] {
        fs::create_dir_all(folder).map_err(|error| {
            Failure::new(format!(
                "the folder {} cannot be created: {error}",
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

/// Runs each target's check on its committed corpus, without fuzzing.
pub(crate) fn replay() -> Result<(), Failure> {
    // The same target folder as the workspace's, so that common dependencies are built once.
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
        .ok_or_else(|| Failure::new("the output of `rustc -vV` contains no host: update Rust"))
}
