//! Helpers that several subcommands share.

use std::path::Path;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

/// Prints an error on standard error.
#[expect(clippy::print_stderr, reason = "this is where a person is told")]
pub(crate) fn print_error(error: &anyhow::Error) {
    eprintln!("fetchway: {error:#}");
}

/// Reads a count for which 0 makes no sense.
pub(crate) fn one_or_more(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| "expected a whole number, 1 or more".to_owned())
}

/// Starts a runtime with a worker thread for each core.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

/// Reads the token of relays from a file, if one is named.
pub(crate) fn read_token(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let Some(file) = file else { return Ok(None) };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("the token file {} can't be read", file.display()))?;
    Ok(Some(text.trim().to_owned()))
}

/// Prints the result of a command on standard output.
#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(crate) fn print_result(text: &str) {
    print!("{text}");
}
