//! A client that stops reading, next to one that reads: how much the first slows the second down, and
//! how much memory the node uses meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use fetchway_test_origins::{Kind, filler};
use tokio::time::timeout;

use crate::node::NodeProcess;
use crate::origin::{OriginProcess, Protocol};
use crate::process::Folder;
use crate::relay::Relay;
use crate::{Programs, Volume, say};

/// Longest time for reading all answers; after this the run is considered to hang.
const READING: Duration = Duration::from_secs(120);
/// The second client's load: small fetches, a few of them at the same time.
const BESIDE: Volume = Volume {
    concurrency: 32,
    total: 10_000,
};
/// Runs of the second client alone, before the first client stops reading.
const ALONE: usize = 15;
const MIB: u64 = 1 << 20;

#[derive(Args, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    programs: Programs,
    /// Time for which the first client does not read, in seconds
    #[arg(long, default_value_t = 30)]
    pause: u64,
}

/// The first client's requests, and the bytes that the node may hold for one session.
struct Scenario {
    protocol: Protocol,
    answers: usize,
    size: u64,
    max_answers: u64,
}

pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    ensure!(
        (1..=100).contains(&settings.pause),
        "--pause must be from 1 to 100 seconds"
    );
    let many = |protocol| Scenario {
        protocol,
        answers: 1_000,
        size: MIB,
        max_answers: 32 * MIB,
    };
    // Of four answers only the first fits into the limit; the streams of the other three stay full.
    let three = Scenario {
        protocol: Protocol::H2,
        answers: 4,
        size: 8 * MIB,
        max_answers: MIB,
    };
    for scenario in [many(Protocol::H1), many(Protocol::H2), three] {
        perform(settings, &scenario).await?;
    }
    Ok(())
}

async fn perform(settings: &Settings, scenario: &Scenario) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let started = OriginProcess::start_slow(
        &settings.programs.origin_program,
        scenario.protocol,
        100,
        &folder,
    )
    .await?;
    let (origin, scheme, config) = started;
    let config = format!(
        "{config}[relay]\nmax-answers = \"{}B\"\n",
        scenario.max_answers
    );
    let node = NodeProcess::start(&settings.programs.fetchway, &folder, &config).await?;
    let (addr, size) = (origin.addr(), scenario.size);
    let mut beside = node.connect().await?;
    let small = |req: usize| format!("{scheme}://{addr}/bytes?n=100&seed={req}");
    load(&mut beside, small).await?; // to warm up
    let mut alone = Vec::new();
    for _ in 0..ALONE {
        alone.push(load(&mut beside, small).await?);
    }
    let before = node.process.peak_resident()?;

    let mut stalled = node.connect().await?;
    stalled
        .ask(scenario.answers, |req| {
            format!("{scheme}://{addr}/bytes?n={size}&seed={req}")
        })
        .await?;
    let (began, mut rates) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_secs(settings.pause) {
        rates.push(load(&mut beside, small).await?);
    }
    let peak = node.process.peak_resident()?;
    let reading = stalled.take(scenario.answers, |req, body| {
        filler(Kind::Text, req as u64, size).matches(body.as_bytes())
    });
    let read = Instant::now();
    timeout(READING, reading)
        .await
        .context("the stalled client's answers did not arrive within 120 s")??;
    let runs = rates.len();
    let (alone, median) = (middle(&mut alone), middle(&mut rates));
    say(&format!(
        "{:?}: {} answers of {} MiB unread for {} s: the other client {alone:.0}/s alone, {median:.0}/s beside \
         (median of {} runs), ratio {:.2}; node resident {} MiB before, {} MiB at the peak; all answers \
         verified {:.2} s after reading began",
        scenario.protocol,
        scenario.answers,
        size / MIB,
        settings.pause,
        runs,
        median / alone,
        before / MIB,
        peak / MIB,
        read.elapsed().as_secs_f64(),
    ));
    Ok(())
}

fn middle(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Runs the load once, and returns the fetches per second.
async fn load(relay: &mut Relay, url: impl Fn(usize) -> String) -> anyhow::Result<f64> {
    let run = relay
        .fetch(BESIDE, url, |_, body| body.len() == 100)
        .await?;
    Ok(run.per_second())
}
