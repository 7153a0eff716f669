//! `cargo xtask lint`: the repository's own lints.
//!
//! The lints are a separate package, `xtask/lint`, because they need a parser for Rust, and xtask has no
//! dependencies.

use crate::command::{self, Failure, cargo};

/// Runs the lints with the arguments given.
pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let run = ["run", "--quiet", "--package", "xtask-lint", "--"];
    command::run(cargo(&run).args(args))
}
