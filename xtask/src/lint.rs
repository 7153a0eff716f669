//! `cargo xtask lint`: the repository's own lints.
//!
//! They are a package of their own, `xtask/lint`, as they need a parser of Rust and xtask needs nothing.

use crate::command::{self, Failure, cargo};

/// Runs the lints with the arguments given.
pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let run = ["run", "--quiet", "--package", "xtask-lint", "--"];
    command::run(cargo(&run).args(args))
}
