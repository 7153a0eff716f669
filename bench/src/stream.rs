//! Bodies streamed through the node: how much memory a body of a gigabyte needs, and how much an unread
//! body slows the others down.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use tokio::time::timeout;

use crate::binary::Binary;
use crate::node::NodeProcess;
use crate::origin::{OriginProcess, Protocol};
use crate::process::Folder;
use crate::{Programs, say};

/// Longest time of one run; after this the run is considered to hang.
const RUN: Duration = Duration::from_secs(120);
const MIB: u64 = 1 << 20;

#[derive(Args, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    programs: Programs,
    /// Runs with one stalled stream, and the same number without
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Size of the large body, in MiB
    #[arg(long, default_value_t = 1_024)]
    large: u64,
    /// Number of simultaneous streams
    #[arg(long, default_value_t = 100)]
    streams: usize,
    /// Size of each stream's body, in MiB
    #[arg(long, default_value_t = 16)]
    each: u64,
}

pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    ensure!(
        (1..=100).contains(&settings.rounds),
        "--rounds must be from 1 to 100"
    );
    ensure!(
        (2..=100).contains(&settings.streams),
        "--streams must be from 2 to 100"
    );
    for protocol in [Protocol::H1, Protocol::H2] {
        perform(settings, protocol).await?;
    }
    Ok(())
}

async fn perform(settings: &Settings, protocol: Protocol) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let program = &settings.programs.origin_program;
    let started = OriginProcess::start_slow(program, protocol, 100, &folder).await?;
    let (origin, scheme, config) = started;
    // The response cap must allow the large body.
    let config = format!("{config}[lanes.default]\nresponse-cap = \"4GiB\"\n");
    let node = NodeProcess::start(&settings.programs.fetchway, &folder, &config).await?;
    let urls = |count: usize, size: u64| -> Vec<String> {
        let addr = origin.addr();
        (0..count)
            .map(|n| format!("{scheme}://{addr}/bytes?n={size}&seed={n}"))
            .collect()
    };
    let mut client = Binary::connect(node.addr).await?;

    client.download(&urls(1, MIB), MIB, None).await?; // to warm up
    let before = node.process.peak_resident()?;
    let size = settings.large * MIB;
    let took = timeout(RUN, client.download(&urls(1, size), size, None)).await;
    let took = took.context("the large body did not arrive within 120 s")??;
    let grown = node.process.peak_resident()?.saturating_sub(before);
    say(&format!(
        "{protocol:?}: a body of {} MiB in {:.2} s, verified; the node grew by {:.1} MiB",
        settings.large,
        took.as_secs_f64(),
        grown as f64 / MIB as f64
    ));

    let (count, size) = (settings.streams, settings.each * MIB);
    let urls = urls(count, size);
    let (mut without, mut beside) = (Vec::new(), Vec::new());
    for round in 0..settings.rounds {
        for turn in 0..2 {
            // Alternating, with the other one first in each round. Without the stalled stream, one stream less is
            // requested, so that the same number is read.
            if (round + turn) % 2 == 0 {
                let run = client.download(&urls[..count - 1], size, None);
                without.push(
                    timeout(RUN, run)
                        .await
                        .context("the streams did not end within 120 s")??
                        .as_secs_f64(),
                );
            } else {
                let run = client.download(&urls, size, Some(count / 2));
                beside.push(
                    timeout(RUN, run)
                        .await
                        .context("the streams did not end within 120 s")??
                        .as_secs_f64(),
                );
            }
        }
    }
    let (without, beside) = (middle(&mut without), middle(&mut beside));
    say(&format!(
        "{protocol:?}: {} streams of {} MiB in {without:.2} s, beside one that is not read in {beside:.2} s \
         (medians of {}), ratio {:.2}; node resident {} MiB at the peak",
        count - 1,
        settings.each,
        settings.rounds,
        beside / without,
        node.process.peak_resident()? / MIB
    ));
    Ok(())
}

fn middle(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
