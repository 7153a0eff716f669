//! Many slow fetches at once over one WebSocket: time until the last answer, and the node's memory.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use tokio::time::timeout;

use crate::node::NodeProcess;
use crate::origin::{OriginProcess, Protocol};
use crate::process::Folder;
use crate::{Programs, Volume, say};

/// Longest time of a run, in addition to the origin's delay; after this the run is considered to hang.
const SLACK: Duration = Duration::from_secs(60);

#[derive(Args, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    programs: Programs,
    /// Protocol of the origin [default: runs of 1000 and 5000 fetches over h1, and 3000 over h2]
    #[arg(long, value_enum, requires = "count")]
    origin: Option<Protocol>,
    /// Number of simultaneous fetches
    #[arg(long, requires = "origin")]
    count: Option<usize>,
    /// Delay of the origin's answers, in milliseconds
    #[arg(long, default_value_t = 1_000)]
    ms: u64,
    /// Streams that the h2 origin allows on a connection
    #[arg(long, default_value_t = 100)]
    streams: u32,
    /// Bytes of filler in each body
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Runs of each kind, each with a new node
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    ensure!(
        (1..=100).contains(&settings.rounds),
        "--rounds must be from 1 to 100"
    );
    let scenarios = match (settings.origin, settings.count) {
        (Some(protocol), Some(count)) => vec![(protocol, count)],
        _ => vec![
            (Protocol::H1, 1_000),
            (Protocol::H1, 5_000),
            (Protocol::H2, 3_000),
        ],
    };
    for (protocol, count) in scenarios {
        for _ in 0..settings.rounds {
            scenario(settings, protocol, count).await?;
        }
    }
    Ok(())
}

/// Performs one run, with a new origin and a new node.
async fn scenario(settings: &Settings, protocol: Protocol, count: usize) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let (mut origin, scheme, config) = OriginProcess::start_slow(
        &settings.programs.origin_program,
        protocol,
        settings.streams,
        &folder,
    )
    .await?;
    let node = NodeProcess::start(&settings.programs.fetchway, &folder, &config).await?;
    let mut relay = node.connect().await?;
    let resident_before = node.process.peak_resident()?;

    let (addr, ms, size) = (origin.addr(), settings.ms, settings.size);
    let all = Volume {
        concurrency: count,
        total: count,
    };
    let fetches = relay.fetch(
        all,
        |req| format!("{scheme}://{addr}/delay?ms={ms}&req={req}&size={size}"),
        |req, body| fetchway_test_origins::verify(req as u64, body.as_bytes()).is_ok(),
    );
    let run = timeout(Duration::from_millis(ms) + SLACK, fetches)
        .await
        .context("the run did not finish in time")??;

    let stats = origin.stats().await?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    say(&format!(
        "{protocol:?}: {count} fetches of {ms} ms, all verified: makespan {:.3} s, p50 {:.3} s, \
         {} dials, {} at once at the origin; node resident {:.0} MiB before, {:.0} MiB at the peak",
        run.took.as_secs_f64(),
        run.micros(0.5) as f64 / 1e6,
        stats["connections"],
        stats["peakInFlight"],
        mib(resident_before),
        mib(node.process.peak_resident()?),
    ));
    Ok(())
}
