//! `cargo xtask bench`: release builds, then a mode of the load program.

use std::path::Path;
use std::process::Command;

use crate::command::{self, Failure, cargo, program, say, target_dir};
use crate::setup::{self, NGINX, PUSHPIN};

/// The benches, and the mode of the load program that each is.
const BENCHES: [(&str, &str); 10] = [
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
];

pub(crate) fn run(which: &str, args: &[&str]) -> Result<(), Failure> {
    let found = BENCHES.iter().find(|(name, _)| *name == which);
    let Some((_, mode)) = found else {
        let names = BENCHES.map(|(name, _)| name).join(", ");
        return Err(Failure::new(format!(
            "there is no bench {which}; there are {names}"
        )));
    };
    let mut peers = Vec::new();
    if matches!(which, "relay" | "gateway") {
        peers.push(("--nginx", setup::need(&NGINX)?));
    }
    if which == "gateway" {
        match setup::need(&PUSHPIN) {
            Ok(pushpin) => peers.push(("--pushpin", pushpin)),
            Err(why) => say(&format!("Pushpin is left out: {why}")),
        }
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

/// Builds the binary and the programs of the benches, unoptimised, for tests.
pub(crate) fn programs() -> Result<(), Failure> {
    for package in ["fetchway", "fetchway-bench"] {
        command::run(&mut cargo(&["build", "--package", package, "--bins"]))?;
    }
    Ok(())
}

/// A mode of the load program, with the programs that it starts.
pub(crate) fn load(built: &Path, mode: &str) -> Command {
    let mut load = program(built.join("fetchway-load"), &[mode]);
    load.arg("--fetchway").arg(built.join("fetchway"));
    load.arg("--origin-program")
        .arg(built.join("fetchway-origin"));
    load
}
