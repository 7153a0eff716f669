//! The load program.
//!
//! `relay`, `http` and `gateway` send load to something that runs already. The others start what they
//! measure, each in a process of its own, and end it. Read `relay`, `binary`, `http` and `load` for the
//! relay's load, `swarm` and `gateway` for the gateway's, `process` for the measuring, `versus` and
//! `makespan` for the comparisons.

mod batch;
mod binary;
mod gateway;
mod http;
mod load;
mod makespan;
mod nginx;
mod node;
mod origin;
mod process;
mod pushpin;
mod relay;
mod spread;
mod stall;
mod stream;
mod swarm;
mod talk;
mod versus;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::{Args, Parser, Subcommand};
use futures_util::future::try_join_all;
use tokio::signal::unix::{SignalKind, signal};

use crate::load::Run;

#[derive(Parser)]
#[command(about = "Load for a fetchway relay or gateway, and for what stands beside it")]
struct Cli {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Fetch a target through a running relay, or several
    Relay {
        /// The relay's address; may be given several times
        #[arg(long, default_value = "127.0.0.1:8787")]
        relay: Vec<SocketAddr>,
        /// WebSockets to each relay; they share the volume
        #[arg(long, default_value_t = 1)]
        connections: usize,
        /// What to fetch
        #[arg(long)]
        target: String,
        /// Speak the binary encoding
        #[arg(long)]
        binary: bool,
        #[command(flatten)]
        volume: Volume,
    },
    /// Send requests over keep-alive HTTP/1.1 connections, one per place
    Http {
        /// Address of the server: an origin, or a proxy before it
        #[arg(long)]
        server: SocketAddr,
        /// Path to request
        #[arg(long, default_value = "/")]
        path: String,
        #[command(flatten)]
        volume: Volume,
    },
    /// Open many WebSockets to a running gateway, or several, and have them do things
    Gateway(Box<gateway::Settings>),
    /// The gateway beside nginx as a reverse proxy, and beside Pushpin: CPU per message, messages per second, latency
    GatewayVsNginx(Box<gateway::versus::Settings>),
    /// What an idle connection of a gateway takes, with and without TLS
    GatewayMemory(gateway::memory::Settings),
    /// All clients of a gateway reconnect at once
    GatewayStorm(gateway::unrest::Settings),
    /// Many clients of a gateway stop reading while they are pushed to
    GatewaySlow(gateway::standstill::Settings),
    /// A gateway's API is killed and started again under load
    GatewayRestart(gateway::restart::Settings),
    /// A crowd of 100,000 clients at several gateways
    GatewayCrowd(gateway::fleet::Settings),
    /// A part of such a crowd, told by standard input what to do
    GatewayPart(gateway::part::Settings),
    /// The relay beside nginx as a reverse proxy: CPU per request, requests per second, latency
    RelayVsNginx(versus::Settings),
    /// Many slow fetches at once over one WebSocket: makespan, memory, dials
    Makespan(makespan::Settings),
    /// A client that stops reading beside one that does not: rates and memory
    Stall(stall::Settings),
    /// A batch: its pace, its full speed beside oha and wrk, what a kill does to it
    Batch(batch::Settings),
    /// Bodies streamed in the binary encoding: memory, and the cost of one that is not read
    Stream(stream::Settings),
}

/// What is measured, and what it is measured against, each a process of its own.
#[derive(Args, Clone, Debug)]
pub(crate) struct Programs {
    /// The fetchway binary
    #[arg(long)]
    pub(crate) fetchway: PathBuf,
    /// The fetchway-origin binary
    #[arg(long)]
    pub(crate) origin_program: PathBuf,
}

/// How much load.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Volume {
    /// Requests outstanding at a time
    #[arg(long, default_value_t = 64)]
    pub(crate) concurrency: usize,
    /// Requests in all
    #[arg(long, default_value_t = 50_000)]
    pub(crate) total: usize,
}

impl Volume {
    /// What each of `sockets` has to do of it, one at least.
    fn shared(self, sockets: usize) -> Self {
        Self {
            concurrency: (self.concurrency / sockets).max(1),
            total: (self.total / sockets).max(1),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mode = Cli::parse().mode;
    // Dropping what runs ends the processes it has started; so a signal must not end us at once.
    let done = tokio::select! {
        done = run(mode) => done,
        () = told_to_end() => Err(anyhow::anyhow!("ended by a signal")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(mode: Mode) -> anyhow::Result<()> {
    match mode {
        Mode::Relay {
            relay,
            connections,
            target,
            binary,
            volume,
        } => {
            let sockets = relay.len() * connections;
            ensure!(
                (1..=1_000).contains(&sockets),
                "there must be 1 to 1000 WebSockets"
            );
            let share = volume.shared(sockets);
            let loads = relay.iter().flat_map(|relay| vec![*relay; connections]);
            let loads = loads.map(|relay| load_relay(relay, &target, binary, share));
            let run = Run::all(try_join_all(loads).await?)?;
            say(&run.to_string());
        }
        Mode::Http {
            server,
            path,
            volume,
        } => {
            say(&http::load(server, &path, volume, None).await?.to_string());
        }
        Mode::Gateway(settings) => gateway::run(*settings).await?,
        Mode::GatewayVsNginx(settings) => gateway::versus::run(*settings).await?,
        Mode::GatewayMemory(settings) => gateway::memory::run(settings).await?,
        Mode::GatewayStorm(settings) => gateway::unrest::run(settings).await?,
        Mode::GatewaySlow(settings) => gateway::standstill::run(settings).await?,
        Mode::GatewayRestart(settings) => gateway::restart::run(settings).await?,
        Mode::GatewayCrowd(settings) => gateway::fleet::run(settings).await?,
        Mode::GatewayPart(settings) => gateway::part::run(settings).await?,
        Mode::RelayVsNginx(settings) => versus::run(&settings).await?,
        Mode::Makespan(settings) => makespan::run(&settings).await?,
        Mode::Stall(settings) => stall::run(&settings).await?,
        Mode::Batch(settings) => batch::run(&settings).await?,
        Mode::Stream(settings) => stream::run(&settings).await?,
    }
    Ok(())
}

/// One WebSocket's share of a load.
async fn load_relay(
    relay: SocketAddr,
    target: &str,
    binary: bool,
    volume: Volume,
) -> anyhow::Result<Run> {
    let url = |_| target.to_owned();
    if binary {
        let mut relay = binary::Binary::connect(relay).await?;
        return relay.fetch(volume, url, |_, body| !body.is_empty()).await;
    }
    let mut relay = relay::Relay::connect(relay).await?;
    relay.fetch(volume, url, |_, body| !body.is_empty()).await
}

async fn told_to_end() {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        // Without handlers a signal ends us at once, as it would any program.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// One line on standard output.
#[expect(clippy::print_stdout, reason = "a command line program")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "a command line program")]
fn complain(error: &anyhow::Error) {
    eprintln!("fetchway-load: {error:#}");
}
