//! The `fetchway` binary: one file per subcommand.
//!
//! `serve` and `gateway` run a node, and share `flags`. `probe` and `demo` compare direct fetches with relayed
//! ones, and share `compare`. `batch` is a folder. `common` is for all of them.

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

/// The allocator, which also makes the heap profiles of the admin listener. One sample per 2 MiB takes less than
/// 1 % of the CPU. (One per 512 KiB took 3.5 % of a small fetch, because hyper reads each answer into 8 KiB.)
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Options that jemalloc reads at the start. The symbol has the name that this build of jemalloc looks for; any
/// other name would be ignored.
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
    /// Run a node, to which clients send fetches over a WebSocket
    Serve(serve::Args),
    /// Run a gateway, which holds WebSocket clients in front of a plain HTTP API
    Gateway(gateway::Args),
    /// Fetch a list of URLs at an exact rate, with an account of each
    Batch(Box<batch::Args>),
    /// Show the effect in ten seconds: a slow origin, fetched directly and through a node
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
