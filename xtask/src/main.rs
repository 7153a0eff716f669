//! The repository's own commands. The package has no dependencies, so that it builds and starts at once.
//!
//! `test` runs all tests, `lint` checks rules for the sources, `bench` runs benchmarks, `fuzz` runs a fuzz target,
//! `simulate` runs the simulation of a session, and `autobahn` runs a conformance suite.

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
  test                    install missing programs, then run all tests
  lint [COMMAND]          check circles of files, sizes and doc comments; `lint help` lists the commands
  bench relay [ARGS]      compare the relay with nginx: CPU per request, added latency
  bench makespan [ARGS]   many slow fetches at once over one WebSocket
  bench stall [ARGS]      a client that stops reading, next to one that reads
  bench stream [ARGS]     large bodies in the binary encoding: memory, unread streams
  bench gateway [ARGS]    compare the gateway with nginx and Pushpin: CPU per message, messages per second
  bench gateway-memory [ARGS]
                          memory of an idle connection of a gateway, with and without TLS
  bench gateway-crowd [ARGS]
                          100,000 clients at several gateways: lost messages, memory, rate of connecting
  bench gateway-storm [ARGS]
                          all clients reconnect at once
  bench gateway-slow [ARGS]
                          many clients stop reading while messages are pushed to them
  bench gateway-restart [ARGS]
                          the API is killed and restarted under load
  bench batch [PARTS] [ARGS]
                          batches: paced, at full speed compared with oha and wrk, killed, over relays
  fuzz TARGET [SECONDS]   fuzz batch_output, gateway_reader, proxy_protocol, relay_json, upstream_h1,
                          upstream_h2, v1_frames, v1_session or ws_reader; 60 seconds by default
  autobahn [CASES]        run Autobahn's cases against a gateway, such as '6.4.*'; all by default
  simulate [SEEDS]        simulate client, link and relay of the binary encoding; 10,000 seeds by default";

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
