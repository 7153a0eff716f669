//! One run over four relays, of which one is killed and restarted.

use std::path::Path;

use anyhow::{Context as _, ensure};
use fetchway_test_origins::Windows;

use super::ledger::{Ledger, SECOND};
use super::output::{Output, dispatches};
use super::paced::held;
use super::{Bench, aim};
use crate::node::NodeProcess;
use crate::process::cpu_time;
use crate::say;

/// Number of relays.
const RELAYS: usize = 4;
/// Duration of the run, in seconds.
const SECONDS: u32 = 12;
/// Maximum deviation of the rate that is aimed at, in percent.
const OFF: f64 = 1.0;

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<()> {
    let rate = bench.settings.relay_rate;
    let items = bench.items(rate * SECONDS);
    let mut origin = bench.ledger("origin").await?;
    let input = bench.input((0..items).map(|item| origin.url(item)))?;
    let mut nodes = Vec::new();
    for _ in 0..RELAYS {
        let fetchway = &bench.settings.programs.fetchway;
        nodes.push(NodeProcess::start(fetchway, &bench.folder, "").await?);
    }
    let relays: Vec<String> = nodes
        .iter()
        .map(|node| format!("ws://{}/", node.addr))
        .collect();
    let (output, log) = (bench.path("out.jsonl"), bench.path("sent.log"));
    let pace = format!("{rate}/s");
    let mut args = vec![&*input, "--output", &output, "--rate", &pace, "--strict"];
    args.extend(["--dispatch-log", &log]);
    args.extend(relays.iter().flat_map(|relay| ["--via", relay]));
    let batch = bench.batch(&args)?;
    let ended = async { batch.ended().await?.succeeded() };
    let meddled = meddle(bench, &mut origin, &mut nodes, items);
    let (took, ()) = tokio::try_join!(ended, meddled)?;

    let read = Output::read(Path::new(&output), items)?;
    let sent = dispatches(Path::new(&log))?;
    let arrivals = origin.arrivals().await?;
    let asked = arrivals.by_item();
    ensure!(
        asked.len() == items as usize,
        "the origin received requests for {} items",
        asked.len()
    );
    let again = arrivals.0.len() - asked.len();
    say(&format!(
        "{items} items at {rate}/s over {RELAYS} relays, one killed at a third and started again at two \
         thirds: {:.2} s; {items} lines, each item once, every body verified; {again} fetched again",
        took.wall.as_secs_f64()
    ));
    ensure!(
        read.attempts >= u64::from(items),
        "{} attempts",
        read.attempts
    );
    if let [first, .., last] = sent[..] {
        let per_second = (sent.len() - 1) as f64 * SECOND as f64 / (last - first) as f64;
        let off = (per_second / f64::from(rate) - 1.0) * 100.0;
        let judged = aim(off.abs() <= OFF, "within 1 %");
        say(&format!(
            "{per_second:.1}/s from first to last: {off:+.2} % {judged}"
        ));
    }
    let here = Windows::of(&sent, SECOND);
    say(&format!(
        "windows of 1 s: sent {}; arrived {}",
        held(here),
        held(arrivals.windows())
    ));
    ensure!(
        here.fullest <= rate as usize,
        "a window of 1 s contained {} requests",
        here.fullest
    );
    shares(&nodes)
}

/// Kills one relay when a third of the items have arrived at the origin, and restarts it at two thirds.
async fn meddle(
    bench: &Bench<'_>,
    origin: &mut Ledger,
    nodes: &mut [NodeProcess],
    items: u32,
) -> anyhow::Result<()> {
    origin.tell(&format!("arrivals {}", items / 3)).await?;
    let node = nodes.first_mut().context("there is no relay")?;
    node.kill().await?;
    origin.tell(&format!("arrivals {}", items / 3 * 2)).await?;
    let fetchway = &bench.settings.programs.fetchway;
    node.restart(fetchway, &bench.folder).await
}

/// Prints the CPU time of each relay: the killed one has some only if it was used again.
fn shares(nodes: &[NodeProcess]) -> anyhow::Result<()> {
    let mut shares = Vec::new();
    for node in nodes {
        let time = cpu_time(node.process.pid())?;
        shares.push(format!("{:.2} s", time.as_secs_f64()));
    }
    say(&format!(
        "CPU of the relays, the killed one first and since its restart: {}",
        shares.join(", ")
    ));
    Ok(())
}
