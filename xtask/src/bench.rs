//! `cargo xtask bench`: builds in release mode, then runs a mode of the load program.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, Failure, cargo, program, say, target_dir};
use crate::setup::{self, NGINX, PUSHPIN, WRK};

/// Benches, each with its mode of the load program.
const BENCHES: [(&str, &str); 11] = [
    ("relay", "relay-vs-nginx"),
    ("makespan", "makespan"),
    ("stall", "stall"),
    ("stream", "stream"),
    ("gateway", "gateway-vs-nginx"),
    ("gateway-memory", "gateway-memory"),
    ("gateway-crowd", "gateway-crowd"),
    ("gateway-storm", "gateway-storm"),
    ("gateway-slow", "gateway-slow"),
    ("gateway-restart", "gateway-restart"),
    ("batch", "batch"),
];

pub(crate) fn run(which: &str, args: &[&str]) -> Result<(), Failure> {
    let found = BENCHES.iter().find(|(name, _)| *name == which);
    let Some((_, mode)) = found else {
        let names = BENCHES.map(|(name, _)| name).join(", ");
        return Err(Failure::new(format!(
            "unknown bench `{which}`: use one of {names}"
        )));
    };
    let mut peers = Vec::new();
    if matches!(which, "relay" | "gateway") {
        peers.push(("--nginx", setup::need(&NGINX)?));
    }
    if which == "gateway" {
        match setup::need(&PUSHPIN) {
            Ok(pushpin) => peers.push(("--pushpin", pushpin)),
            Err(why) => say(&format!("Pushpin is not measured: {why}")),
        }
    }
    if which == "batch" && beside_others(args) {
        peers.push(("--wrk", setup::need(&WRK)?));
        peers.push(("--oha", oha()?));
    }
    command::run(&mut cargo(&[
        "build",
        "--release",
        "--package",
        "fetchway",
        "--package",
        "fetchway-bench",
    ]))?;
    let built = target_dir().join("release");
    let mut load = load(&built, mode);
    for (flag, peer) in peers {
        load.arg(flag).arg(peer);
    }
    command::run(load.args(args))
}

/// Builds the binary and the programs of the benches without optimisation, for tests.
pub(crate) fn programs() -> Result<(), Failure> {
    for package in ["fetchway", "fetchway-bench"] {
        command::run(&mut cargo(&["build", "--package", package, "--bins"]))?;
    }
    Ok(())
}

/// Command that runs a mode of the load program, with the paths of the programs that it starts.
pub(crate) fn load(built: &Path, mode: &str) -> Command {
    let mut load = program(built.join("fetchway-load"), &[mode]);
    load.arg("--fetchway").arg(built.join("fetchway"));
    load.arg("--origin-program")
        .arg(built.join("fetchway-origin"));
    load
}

/// Returns true if a named part of `batch` needs other programs; without names, all parts run.
fn beside_others(args: &[&str]) -> bool {
    let named = args.first().is_some_and(|first| !first.starts_with('-'));
    !named || args.contains(&"full")
}

/// Version of oha that is measured.
const OHA: &str = "1.16.0";

/// Path of oha, which is built once in the target folder, with its default features, which this version needs.
fn oha() -> Result<PathBuf, Failure> {
    let tools = target_dir().join("tools");
    let built = tools.join("bin/oha");
    if !built.is_file() {
        let mut install = cargo(&["install", "oha", "--version", OHA, "--locked"]);
        install.arg("--root").arg(tools);
        command::run(&mut install)?;
    }
    Ok(built)
}
