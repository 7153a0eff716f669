//! A batch at full speed that writes every result to a file, compared with oha and wrk at the same origin.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::output::Output;
use super::peers::{self, Reached};
use super::{Bench, aim};
use crate::say;
use crate::spread::Spread;

/// Duration of a run of wrk.
const WRK_SECONDS: u32 = 4;
/// Minimum rate that is aimed at, as a share of oha's.
const RATIO: f64 = 0.7;

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<()> {
    let (items, settings) = (bench.items(200_000), bench.settings);
    let (rounds, connections) = (settings.rounds, settings.connections);
    anyhow::ensure!(
        (1..=100).contains(&rounds),
        "--rounds must be from 1 to 100"
    );
    let mut origin = bench.ledger("origin").await?;
    let input = bench.input((0..items).map(|item| origin.url(item)))?;
    let url = origin.url(0);
    say(&format!(
        "{items} requests, {connections} connections, {rounds} rounds; wrk for {WRK_SECONDS} s"
    ));
    let mut reached: [Vec<Reached>; 3] = Default::default();
    for round in 0..rounds {
        for turn in 0..3 {
            let at = (round + turn) % 3;
            let each = match at {
                0 => batch(bench, &input, items)
                    .await
                    .context("fetchway batch")?,
                1 => peers::oha(&settings.oha, &url, items, connections).await?,
                _ => peers::wrk(&settings.wrk, &url, WRK_SECONDS, connections).await?,
            };
            reached[at].push(each);
            let arrivals = origin.arrivals().await?;
            if at == 0 {
                arrivals.each_once(items)?;
            }
        }
        let [batch, oha, wrk] = reached.each_ref().map(|them| them[round].per_second);
        let round = round + 1;
        say(&format!(
            "round {round}: fetchway batch {batch:.0}/s, oha {oha:.0}/s, wrk {wrk:.0}/s"
        ));
    }
    report(&reached);
    Ok(())
}

/// Performs one run. The rate covers the whole process, including start-up and the last write.
async fn batch(bench: &Bench<'_>, input: &str, items: u32) -> anyhow::Result<Reached> {
    let output = bench.path("out.jsonl");
    let connections = bench.settings.connections.to_string();
    let args = [input, "--output", &output, "--concurrency", &connections];
    let took = bench.batch(&args)?.ended().await?.succeeded()?;
    Output::read(Path::new(&output), items)?;
    fs::remove_file(&output)?;
    Ok(Reached {
        per_second: f64::from(items) / took.wall.as_secs_f64(),
        cpu: took.cpu.each(items as usize).total,
    })
}

fn report(reached: &[Vec<Reached>; 3]) {
    say("median of the rounds (minimum..maximum)");
    for (name, each) in ["fetchway batch", "oha", "wrk"].iter().zip(reached) {
        let rates: Vec<f64> = each.iter().map(|it| it.per_second).collect();
        let cpu: Vec<f64> = each.iter().map(|it| it.cpu).collect();
        say(&format!(
            "{name:<16}{} requests/s, {} µs of CPU each",
            Spread::of(&rates, 0),
            Spread::of(&cpu, 1)
        ));
    }
    for (name, peer) in [("oha", &reached[1]), ("wrk", &reached[2])] {
        let pairs = reached[0].iter().zip(peer);
        let ratios: Vec<f64> = pairs.map(|(a, b)| a.per_second / b.per_second).collect();
        let ratio = Spread::of(&ratios, 2);
        let judged = match name {
            "oha" => aim(ratio.median() >= RATIO, "at least 0.7"),
            _ => String::new(),
        };
        say(&format!("batch/{name:<10}{ratio} {judged}"));
    }
}
