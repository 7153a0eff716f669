//! The load program.
//!
//! The modes `relay`, `http` and `gateway` send load to a server that is already running. The other modes
//! start the programs that they measure, each as a separate process, and end them. Read `relay`, `binary`,
//! `http` and `load` for the relay's load, `swarm` and `gateway` for the gateway's, `process` for the
//! measurements, and `versus` and `makespan` for the comparisons.

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
#[command(about = "Load for a fetchway relay or gateway, and for the programs it is compared with")]
struct Cli {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Fetch a target through one or several running relays
    Relay {
        /// Address of a relay; repeat for several relays
        #[arg(long, default_value = "127.0.0.1:8787")]
        relay: Vec<SocketAddr>,
        /// WebSockets to each relay; the requests are divided between them
        #[arg(long, default_value_t = 1)]
        connections: usize,
        /// URL to fetch
        #[arg(long)]
        target: String,
        /// Speak the binary encoding
        #[arg(long)]
        binary: bool,
        #[command(flatten)]
        volume: Volume,
    },
    /// Send requests over keep-alive HTTP/1.1 connections, one for each outstanding request
    Http {
        /// Address of the server: an origin, or a proxy in front of it
        #[arg(long)]
        server: SocketAddr,
        /// Path to request
        #[arg(long, default_value = "/")]
        path: String,
        #[command(flatten)]
        volume: Volume,
    },
    /// Open many WebSockets to one or several running gateways, and perform actions with them
    Gateway(Box<gateway::Settings>),
    /// Compare the gateway with nginx as a reverse proxy and with Pushpin: CPU per message, messages per second, latency
    GatewayVsNginx(Box<gateway::versus::Settings>),
    /// Measure the memory of an idle connection of a gateway, with and without TLS
    GatewayMemory(gateway::memory::Settings),
    /// Reconnect all clients of a gateway at once
    GatewayStorm(gateway::unrest::Settings),
    /// Stop reading at many clients of a gateway while messages are pushed to them
    GatewaySlow(gateway::standstill::Settings),
    /// Kill and restart a gateway's API under load
    GatewayRestart(gateway::restart::Settings),
    /// Connect a crowd of 100,000 clients to several gateways
    GatewayCrowd(gateway::fleet::Settings),
    /// Run a part of such a crowd, which reads commands from standard input
    GatewayPart(gateway::part::Settings),
    /// Compare the relay with nginx as a reverse proxy: CPU per request, requests per second, latency
    RelayVsNginx(versus::Settings),
    /// Send many slow fetches at once over one WebSocket: makespan, memory, dials
    Makespan(makespan::Settings),
    /// Stop reading at one client while another one fetches: rates and memory
    Stall(stall::Settings),
    /// Run batches: paced, at full speed compared with oha and wrk, and killed
    Batch(batch::Settings),
    /// Stream large bodies in the binary encoding: memory, and the cost of an unread body
    Stream(stream::Settings),
}

/// Paths of the measured programs; each runs as a separate process.
#[derive(Args, Clone, Debug)]
pub(crate) struct Programs {
    /// The fetchway binary
    #[arg(long)]
    pub(crate) fetchway: PathBuf,
    /// The fetchway-origin binary
    #[arg(long)]
    pub(crate) origin_program: PathBuf,
}

/// Amount of load.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Volume {
    /// Requests outstanding at the same time
    #[arg(long, default_value_t = 64)]
    pub(crate) concurrency: usize,
    /// Total number of requests
    #[arg(long, default_value_t = 50_000)]
    pub(crate) total: usize,
}

impl Volume {
    /// Share of each of `sockets` WebSockets, at least one request.
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
    // The drop of the future ends the processes that it has started, so a signal must not end this process
    // at once.
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
                "the number of WebSockets must be from 1 to 1000: change --relay or --connections"
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

/// Performs one WebSocket's share of the load.
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
        // Without handlers, a signal ends this process at once.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Writes one line to standard output.
#[expect(clippy::print_stdout, reason = "a command line program")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "a command line program")]
fn complain(error: &anyhow::Error) {
    eprintln!("fetchway-load: {error:#}");
}
