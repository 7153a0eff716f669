//! A part of a crowd as a separate process, because the number of file descriptors of a process is limited. The
//! process reads commands from standard input, one a line, and answers each with a line of JSON.
//!
//! The first line of output tells that the process is ready. `open AT_ONCE` connects the clients, and
//! `every SECONDS LASTING SIZE` lets them send. Pings are answered at all times. The process ends when its input
//! is closed.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::{Coming, Crowd, Gateway, on_thread, raise_descriptors, seconds};
use crate::say;
use crate::swarm::Stop;

/// Interval at which the next command is checked for.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Args, Debug)]
pub(crate) struct Settings {
    /// Address of a gateway for clients; repeat for several gateways, which get clients in turn
    #[arg(long, required = true)]
    gateway: Vec<SocketAddr>,
    /// Number of clients
    #[arg(long)]
    clients: usize,
    /// Seed of the ids
    #[arg(long)]
    seed: u64,
}

pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    raise_descriptors()?;
    let stop = Stop::default();
    let gateways = settings.gateway.iter().map(|addr| Gateway {
        addr: *addr,
        push: *addr,
    });
    let crowd = Crowd::new(gateways.collect(), None, settings.seed, true, &stop)?;
    say(&json!({ "clients": settings.clients }).to_string());
    let (tell, told) = mpsc::channel(1);
    let obeying = on_thread(crowd, move |crowd| {
        let done = obey(crowd, settings.clients, told);
        if let Err(error) = &done {
            // The commanding process must get an answer; this process runs until standard input is closed.
            say(&json!({ "error": format!("{error:#}") }).to_string());
        }
        done
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let telling = async move {
        while let Some(line) = lines.next_line().await? {
            if tell.send(line).await.is_err() {
                break;
            }
        }
        anyhow::Ok(())
    };
    tokio::try_join!(obeying, telling).map(drop)
}

/// Runs commands until the input is closed.
fn obey(crowd: &mut Crowd, clients: usize, mut told: mpsc::Receiver<String>) -> anyhow::Result<()> {
    loop {
        match told.try_recv() {
            Ok(line) => say(&command(crowd, clients, &line)?.to_string()),
            Err(TryRecvError::Empty) => crowd.hold(LOOK)?,
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
    }
}

fn command(crowd: &mut Crowd, clients: usize, line: &str) -> anyhow::Result<Value> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |word: &str| word.parse::<f64>().context("the command needs a number");
    match words.as_slice() {
        ["open", at_once] => {
            let coming = Coming {
                rate: 0.0,
                at_once: number(at_once)? as usize,
            };
            let took = crowd.grow(clients, coming)?;
            Ok(json!({ "clients": crowd.len(), "seconds": took.as_secs_f64() }))
        }
        ["every", period, lasting, size] => {
            let (period, lasting) = (seconds(number(period)?)?, seconds(number(lasting)?)?);
            let (run, latest) = crowd.every(period, lasting, number(size)? as usize)?;
            crowd.ensure_complete()?;
            Ok(json!({
                "messages": run.requests,
                "p50": run.micros(0.50),
                "p99": run.micros(0.99),
                "most": run.micros(1.0),
                "late": latest.as_micros() as u64,
            }))
        }
        _ => bail!("unknown command `{line}`"),
    }
}
