//! `--adaptive` with an origin that answers 429 above a rate, and with an origin without a limit.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use super::ledger::SECOND;
use super::output::Output;
use super::{Bench, aim};
use crate::say;

/// Time until the rate should be stable, in seconds.
const SETTLED: u64 = 20;
/// Maximum share of refused requests after that time, in percent.
const REFUSED: f64 = 3.0;
/// Minimum share of the limit that should be used after that time, in percent.
const USED: f64 = 85.0;

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<()> {
    for kind in ["fixed", "sliding"] {
        limited(bench, kind).await?;
    }
    free(bench).await
}

/// Runs `items` with one origin; returns the rate that was found, and the duration in seconds.
async fn adaptive(bench: &Bench<'_>, input: &str, items: u32) -> anyhow::Result<(f64, f64)> {
    let [output, summary] = ["out.jsonl", "summary.json"].map(|name| bench.path(name));
    // The output of the other kind of windows.
    let _none = std::fs::remove_file(&output);
    let args = [
        input,
        "--output",
        &output,
        "--adaptive",
        "--summary",
        &summary,
    ];
    let took = bench.batch(&args)?.ended().await?.succeeded()?;
    Output::read(Path::new(&output), items)?;
    let summary: Value = serde_json::from_slice(&std::fs::read(&summary)?)?;
    let found = summary["rate"]["adaptive"]["origins"][0]["perSecond"].as_f64();
    let found = found.context("the summary contains no rate")?;
    Ok((found, took.wall.as_secs_f64()))
}

async fn limited(bench: &Bench<'_>, kind: &str) -> anyhow::Result<()> {
    let (limit, items) = (bench.settings.rate / 5, bench.items(60_000));
    let mut origin = bench.ledger("limited").await?;
    origin.tell(&format!("limit {limit} {kind}")).await?;
    let input = bench.input((0..items).map(|item| origin.url(item)))?;
    let (found, took) = adaptive(bench, &input, items).await?;
    let arrivals = origin.arrivals().await?;
    let begun = arrivals.0.first().map_or(0, |first| first.micros);
    let settled = |micros: u64| micros - begun >= SETTLED * SECOND;
    let late = arrivals.0.iter().filter(|it| settled(it.micros));
    let (all, refused) = late.fold((0_u32, 0_u32), |(all, refused), it| {
        (all + 1, refused + u32::from(it.status == 429))
    });
    let percent = f64::from(refused) * 100.0 / f64::from(all.max(1));
    let rate = f64::from(all - refused) / (arrivals.lasted() - SETTLED as f64).max(1e-3);
    let used = rate * 100.0 / f64::from(limit);
    say(&format!(
        "429 above {limit}/s ({kind} windows), {items} items: {took:.2} s, {found:.0}/s found; after \
         {SETTLED} s {rate:.0}/s were answered, {used:.1} % {}, and {refused} of {all} refused, \
         {percent:.2} % {}",
        aim(used >= USED, "at least 85 %"),
        aim(percent < REFUSED, "less than 3 %"),
    ));
    Ok(())
}

/// Runs a batch for an origin without a limit, so that only the machine limits the rate.
async fn free(bench: &Bench<'_>) -> anyhow::Result<()> {
    let items = bench.items(200_000);
    let mut origin = bench.ledger("free").await?;
    let input = bench.input((0..items).map(|item| origin.url(item)))?;
    let (found, took) = adaptive(bench, &input, items).await?;
    let arrivals = origin.arrivals().await?;
    arrivals.each_once(items)?;
    say(&format!(
        "no limit, {items} items: {took:.2} s, {found:.0}/s found, {} in the fullest second",
        arrivals.windows().fullest
    ));
    Ok(())
}
