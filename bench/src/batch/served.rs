//! Batches that a node runs for a client which writes its items as fast as possible: over a session and over
//! HTTP, unordered and ordered, for clients that read at once, late, or slowly.

use std::time::Duration;

use anyhow::ensure;
use fetchway_test_origins::Windows;
use tokio::time::{Instant, sleep_until};

use super::ledger::{Ledger, SECOND};
use super::output::Lines;
use super::paced::{held, spread};
use super::ways::{Outcomes, Way};
use super::{Bench, aim};
use crate::node::NodeProcess;
use crate::say;

/// Maximum resident memory of the node that is aimed at, in MiB.
const MEMORY: f64 = 120.0;
/// Maximum by which a run may take longer than at its rate, in percent.
const OVER: f64 = 1.0;
/// Delay of a late reader after the last item was written.
const LATE: Duration = Duration::from_secs(1);

/// Reading behaviour of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// Reads at once.
    Prompt,
    /// Reads the first outcome, then nothing until a second after the last item was written, then a quarter
    /// faster than the rate.
    Late,
    /// Reads at half the rate: once windows and sockets are full, the run has to wait for the client.
    Slow,
}

impl Reader {
    fn shown(self) -> &'static str {
        match self {
            Self::Prompt => "reads at once",
            Self::Late => "reads late",
            Self::Slow => "reads at half the rate",
        }
    }

    /// Lines that the client reads per second; `None` without a limit.
    fn pace(self, rate: u32) -> Option<f64> {
        match self {
            Self::Prompt => None,
            Self::Late => Some(f64::from(rate) * 1.25),
            Self::Slow => Some(f64::from(rate) / 2.0),
        }
    }
}

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<()> {
    for way in [Way::Session, Way::Http] {
        for reader in [Reader::Prompt, Reader::Late, Reader::Slow] {
            for ordered in [false, true] {
                one(bench, way, reader, ordered).await?;
            }
        }
    }
    Ok(())
}

async fn one(bench: &Bench<'_>, way: Way, reader: Reader, ordered: bool) -> anyhow::Result<()> {
    let (items, rate) = (bench.items(10_000), bench.settings.served_rate);
    let mut origin = bench.ledger("origin").await?;
    let program = &bench.settings.programs.fetchway;
    let node = NodeProcess::start(program, &bench.folder, "").await?;
    let urls = (0..items).map(|item| origin.url(item)).collect();

    let began = Instant::now();
    let mut outcomes = Outcomes::begin(way, node.addr, rate, ordered, urls).await?;
    let mut lines = Lines::new(items)?;
    read(reader, rate, items, &mut outcomes, &mut lines).await?;
    let wall = began.elapsed();
    let written = outcomes.written().await?.duration_since(began);
    let output = lines.end()?;
    let peak = node.process.peak_resident()? as f64 / f64::from(1 << 20);
    ensure!(
        !ordered || output.order.is_sorted(),
        "the outcomes are not in input order"
    );

    say(&format!(
        "{}, {}, a client that {}: {items} items at {rate}/s",
        way.shown(),
        if ordered { "ordered" } else { "unordered" },
        reader.shown(),
    ));
    let due = f64::from(items - 1) / f64::from(rate);
    let took = wall.as_secs_f64();
    let over = (took / due - 1.0) * 100.0;
    let aimed = match reader {
        Reader::Prompt => aim(over <= OVER, "at most 1 %"),
        Reader::Late | Reader::Slow => "(limited by the client)".to_owned(),
    };
    say(&format!(
        "  all written after {:.2} s, read after {took:.3} s, scheduled for {due:.3} s: {over:+.2} % {aimed}",
        written.as_secs_f64(),
    ));
    arrivals(&mut origin, items).await?;
    say(&format!("  sent late by {}", spread(&output.late)));
    say(&format!(
        "  node: at most {peak:.0} MiB resident {}",
        aim(peak <= MEMORY, "at most 120")
    ));
    Ok(())
}

/// Reads all outcomes at the pace of this reader.
async fn read(
    reader: Reader,
    rate: u32,
    items: u32,
    outcomes: &mut Outcomes,
    lines: &mut Lines,
) -> anyhow::Result<()> {
    // A batch over a session begins when its first outcome is awaited.
    ensure!(outcomes.next(lines).await?, "there is no outcome");
    if reader == Reader::Late {
        match outcomes.way() {
            Way::Session => tokio::time::sleep(LATE).await,
            Way::Http => sleep_until(outcomes.written().await? + LATE).await,
        }
    }
    let began = Instant::now();
    while outcomes.next(lines).await? {
        ensure!(
            lines.len() <= items as usize,
            "there are more lines than items"
        );
        if let Some(pace) = reader.pace(rate) {
            sleep_until(began + Duration::from_secs_f64(lines.len() as f64 / pace)).await;
        }
    }
    Ok(())
}

async fn arrivals(origin: &mut Ledger, items: u32) -> anyhow::Result<()> {
    let arrivals = origin.arrivals().await?;
    arrivals.each_once(items)?;
    let lasted = arrivals.lasted();
    let windows: Windows = arrivals.windows();
    say(&format!(
        "  each item arrived once, within {lasted:.3} s, {} per window of 1 s; {:.1}/s",
        held(windows),
        f64::from(items - 1) / lasted.max(1.0 / SECOND as f64),
    ));
    Ok(())
}
