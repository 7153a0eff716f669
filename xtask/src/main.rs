//! The repository's own commands, without dependencies so that they start at once.
//!
//! `test` is the one test command, `bench` runs what is measured, `fuzz` runs a fuzz target, `simulate`
//! the session under many seeds, `autobahn` a conformance suite.

mod autobahn;
mod bench;
mod command;
mod fuzz;
mod lint;
mod setup;
mod test;

use std::process::ExitCode;

use command::Failure;

const USAGE: &str = "\
usage: cargo xtask COMMAND
  test                    install what is missing, then run every test
  lint [COMMAND]          check circles of files, sizes and doc comments; `lint help` lists the commands
  bench relay [ARGS]      the relay beside nginx: CPU per request, added latency
  bench makespan [ARGS]   many slow fetches at once over one WebSocket
  bench stall [ARGS]      a client that stops reading beside one that does not
  bench stream [ARGS]     large bodies through the binary encoding: memory, stalled streams
  bench gateway [ARGS]    the gateway beside nginx and Pushpin: CPU per message, messages per second
  bench gateway-memory [ARGS]
                          what an idle connection of a gateway takes, with and without TLS
  bench gateway-crowd [ARGS]
                          100,000 clients at several gateways: lost messages, memory, rate of opening
  bench gateway-storm [ARGS]
                          all clients reconnect at once
  bench gateway-slow [ARGS]
                          many clients stop reading while they are pushed to
  bench gateway-restart [ARGS]
                          the API is killed and started again under load
  bench batch [PARTS] [ARGS]
                          a batch at 5,000/s and at full speed beside oha and wrk, killed, over relays
  fuzz TARGET [SECONDS]   fuzz batch_output, gateway_reader, proxy_protocol, relay_json, upstream_h1,
                          upstream_h2, v1_frames, v1_session or ws_reader, 60 seconds unless told
  autobahn [CASES]        Autobahn's cases against a gateway, such as '6.4.*'; all unless told
  simulate [SEEDS]        client, link and relay of the binary encoding, 10,000 seeds unless told";

#[expect(clippy::print_stderr, reason = "a command line program")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test"] => test::run(),
        ["lint", args @ ..] => lint::run(args),
        ["bench", which, rest @ ..] => bench::run(which, rest),
        ["fuzz", target] => fuzz::run(target, "60"),
        ["fuzz", target, seconds] => fuzz::run(target, seconds),
        ["autobahn", cases @ ..] => autobahn::run(cases),
        ["simulate"] => test::simulate("10000"),
        ["simulate", seeds] => test::simulate(seeds),
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
