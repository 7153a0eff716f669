//! `cargo xtask autobahn`: runs Autobahn's cases against a gateway, with the PyPI package `kosoku`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::bench;
use crate::command::{self, Failure, program, root, target_dir};
use crate::setup::{self, PYTHON};

/// Package that contains and runs the cases, in the version whose verdicts the tests expect.
const KOSOKU: &str = "kosoku==0.1.0";

/// Runs the named cases, or all if none is named.
pub(crate) fn run(cases: &[&str]) -> Result<(), Failure> {
    command::run(prepare()?.args(cases))
}

/// Installs and builds everything that the cases need, and returns the program that runs them; without
/// arguments, all cases run.
pub(crate) fn prepare() -> Result<Command, Failure> {
    let python = installed()?;
    bench::programs()?;
    let built = target_dir().join("debug");
    let mut test = program(python, &["run.py"]);
    test.current_dir(root().join("tests/autobahn"))
        .env("FETCHWAY_BINARY", built.join("fetchway"))
        .env("FETCHWAY_ORIGIN", built.join("fetchway-origin"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(test)
}

/// Python of a separate virtual environment in which the package is installed.
fn installed() -> Result<PathBuf, Failure> {
    let folder = target_dir().join("autobahn");
    let python = folder.join("bin/python");
    // Written last: if the file contains the version, the installation was complete.
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|version| version == KOSOKU) && python.is_file() {
        return Ok(python);
    }
    let system = setup::need(&PYTHON)?;
    let venv = ["-m", "venv", "--clear"];
    if command::run(program(&system, &venv).arg(&folder)).is_err() {
        // Debian has the module `venv` in a separate package.
        setup::install(&["python3-venv"])?;
        command::run(program(&system, &venv).arg(&folder))?;
    }
    command::run(&mut program(
        &python,
        &[
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            KOSOKU,
        ],
    ))?;
    fs::write(&stamp, KOSOKU)
        .map_err(|error| Failure::new(format!("{} cannot be written: {error}", stamp.display())))?;
    Ok(python)
}
