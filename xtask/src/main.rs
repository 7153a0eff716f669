//! The repository's own commands, without dependencies so that they start at once.
//!
//! `test` is the one test command, `bench` runs what is measured, `fuzz` runs a fuzz target.

mod bench;
mod command;
mod fuzz;
mod setup;
mod test;

use std::process::ExitCode;

use command::Failure;

const USAGE: &str = "\
usage: cargo xtask COMMAND
  test                    install what is missing, then run every test
  bench relay [ARGS]      the relay beside nginx: CPU per request, added latency
  bench makespan [ARGS]   many slow fetches at once over one WebSocket
  bench stall [ARGS]      a client that stops reading beside one that does not
  fuzz TARGET [SECONDS]   fuzz relay_json or ws_reader, 60 seconds unless told";

#[expect(clippy::print_stderr, reason = "a command line program")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test"] => test::run(),
        ["bench", which, rest @ ..] => bench::run(which, rest),
        ["fuzz", target] => fuzz::run(target, "60"),
        ["fuzz", target, seconds] => fuzz::run(target, seconds),
        _ => Err(Failure::new(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
