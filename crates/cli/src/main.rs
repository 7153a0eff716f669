//! The `fetchway` binary: one file per subcommand.
//!
//! `serve` and `gateway` run a node; what they share is in `flags`. `probe` and `demo` compare direct
//! fetches with relayed ones; what those two share is in `compare`. `batch` is a folder.

mod batch;
mod common;
mod compare;
mod demo;
mod flags;
mod gateway;
mod probe;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Heap profiles on the admin listener come from here; a sample each 2 MiB takes less than a
/// hundredth of the CPU. (Each 512 KiB it was 3.5 % of a small fetch: hyper reads each answer into 8 KiB.)
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read by jemalloc at start, by the name that this build of it has for it: under any other it would
/// be ignored without a word.
#[expect(unsafe_code, reason = "jemalloc looks for a symbol of this name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: &[u8] =
    b"prof:true,prof_active:true,lg_prof_sample:21,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

/// fetchway does the waiting for code that is billed, limited or blocked while it waits.
#[derive(Parser)]
#[command(name = "fetchway", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node: clients send their fetches over one WebSocket each
    Serve(serve::Args),
    /// Run a gateway: WebSocket clients in front of an HTTP API that knows nothing of them
    Gateway(gateway::Args),
    /// Fetch a list of URLs, however long, at an exact rate, and account for every one
    Batch(Box<batch::Args>),
    /// See in ten seconds what it is for: a slow origin, fetched directly and through a node
    Demo(demo::Args),
    /// Compare direct fetches of a target with relayed ones
    Probe(probe::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Gateway(args) => gateway::run(args),
        Command::Batch(args) => Ok(batch::run(&args)),
        Command::Demo(args) => demo::run(&args),
        Command::Probe(args) => probe::run(&args),
    };
    done.unwrap_or_else(|error| {
        common::print_error(&error);
        ExitCode::FAILURE
    })
}
