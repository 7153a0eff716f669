//! `cargo xtask autobahn`: Autobahn's cases against a gateway, by PyPI's `kosoku`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::bench;
use crate::command::{self, Failure, program, root, target_dir};
use crate::setup::{self, PYTHON};

/// The package that has the cases and runs them, in the one version that is known to judge as we expect.
const KOSOKU: &str = "kosoku==0.1.0";

/// Runs the cases named, or all.
pub(crate) fn run(cases: &[&str]) -> Result<(), Failure> {
    command::run(prepare()?.args(cases))
}

/// The program that runs the cases, with all that it needs; without arguments it runs all.
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

/// The Python of an environment of its own that has the package.
fn installed() -> Result<PathBuf, Failure> {
    let folder = target_dir().join("autobahn");
    let python = folder.join("bin/python");
    // Written last: where it names the version, the install was complete.
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|version| version == KOSOKU) && python.is_file() {
        return Ok(python);
    }
    let system = setup::need(&PYTHON)?;
    let venv = ["-m", "venv", "--clear"];
    if command::run(program(&system, &venv).arg(&folder)).is_err() {
        // Debian has it in a package of its own.
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
