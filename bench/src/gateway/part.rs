//! A part of a crowd as a process of its own, since one may have only so many descriptors: it does what
//! lines on its standard input say, and answers each with a line of JSON.
//!
//! The first line it writes says that it is there. `open AT_ONCE` lets its clients come, `every SECONDS LASTING SIZE` has them send. Meanwhile and between
//! it keeps them: pings are answered. When its input ends, so does it.

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

/// Between commands, the next one is looked for so often.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Args, Debug)]
pub(crate) struct Settings {
    /// A gateway's address for clients; may be given several times, clients are dealt out in turn
    #[arg(long, required = true)]
    gateway: Vec<SocketAddr>,
    /// Clients
    #[arg(long)]
    clients: usize,
    /// What the ids are made from
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
            // Whoever commands must not wait for more: standard input keeps this process until it ends.
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

/// Until nobody commands any more.
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
    let number = |word: &str| word.parse::<f64>().context("a command's number");
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
        _ => bail!("a part of a crowd has no command {line}"),
    }
}
