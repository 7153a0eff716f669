//! Many items at a steady rate: wall time, lateness of each item, requests in windows of a second, memory.

use std::path::Path;

use anyhow::ensure;
use fetchway_test_origins::Windows;
use hdrhistogram::Histogram;

use super::command::Took;
use super::ledger::SECOND;
use super::output::{Output, dispatches};
use super::{Bench, aim};
use crate::say;

/// Maximum resident memory that is aimed at, in MiB.
const MEMORY: f64 = 120.0;
/// Longest time until the first request that is aimed at, in milliseconds.
const START: f64 = 50.0;

pub(super) async fn run(bench: &Bench<'_>, usual: u32, strict: bool) -> anyhow::Result<()> {
    let (items, rate) = (bench.items(usual), bench.settings.rate);
    let mut origin = bench.ledger("origin").await?;
    let input = bench.input((0..items).map(|item| origin.url(item)))?;
    let (output, log) = (bench.path("out.jsonl"), bench.path("sent.log"));
    let pace = format!("{rate}/s");
    let mut args = vec![&input, "--output", &output, "--rate", &pace];
    args.extend(["--dispatch-log", &log]);
    args.extend(strict.then_some("--strict"));
    let took = bench.batch(&args)?.ended().await?.succeeded()?;

    let read = Output::read(Path::new(&output), items)?;
    let sent = dispatches(Path::new(&log))?;
    let arrivals = origin.arrivals().await?;
    arrivals.each_once(items)?;
    ensure!(sent.len() == items as usize, "{} dispatches", sent.len());
    wall(&took, &read, &sent, rate, strict);
    say(&format!(
        "{items} lines, each item once, every body verified; the origin received one request for each"
    ));
    say(&format!(
        "at most {:.0} MiB resident {}; {:.1} µs of CPU per fetch, {:.1} of them user",
        took.peak_mib(),
        aim(took.peak_mib() <= MEMORY, "at most 120"),
        took.cpu.each(items as usize).total,
        took.cpu.each(items as usize).user,
    ));
    say(&format!("sent late by     {}", spread(&read.late)));
    say(&format!(
        "whole answer in  {}, from its scheduled time",
        spread(&read.latency)
    ));
    let (there, here) = (arrivals.windows(), Windows::of(&sent, SECOND));
    say(&format!(
        "windows of 1 s: sent {}; arrived {}",
        held(here),
        held(there)
    ));
    ensure!(
        !strict || here.fullest <= rate as usize,
        "with --strict a window of 1 s contained {} requests, more than {rate}",
        here.fullest
    );
    Ok(())
}

/// Prints the wall time and the start-up time.
fn wall(took: &Took, read: &Output, sent: &[u64], rate: u32, strict: bool) {
    let gaps = sent.len().saturating_sub(1) as f64;
    let last_answer = read.last_answer as f64 / SECOND as f64;
    let ideal = gaps / f64::from(rate) + last_answer;
    let over = (took.wall.as_secs_f64() / ideal - 1.0) * 100.0;
    // A strict run is documented to be slower by 5 ms in each second.
    let most = if strict { 1.0 } else { 0.5 };
    say(&format!(
        "{:.4} s from start to end at {rate}/s; ideal {ideal:.4} s, the last answer's {last_answer:.4} \
         s included: {over:+.2} % {}",
        took.wall.as_secs_f64(),
        aim(over <= most, &format!("at most {most} %")),
    ));
    if let [first, .., last] = sent {
        let start = first.saturating_sub(took.epoch) as f64 / 1_000.0;
        let held = gaps / ((last - first) as f64 / SECOND as f64);
        say(&format!(
            "first request after {start:.1} ms {}; {held:.2}/s from first to last",
            aim(start <= START, "at most 50"),
        ));
    }
}

pub(super) fn spread(micros: &Histogram<u64>) -> String {
    let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1_000.0;
    format!(
        "p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms",
        at(0.5),
        at(0.99),
        at(0.999),
        micros.max() as f64 / 1_000.0
    )
}

pub(super) fn held(windows: Windows) -> String {
    match windows.emptiest {
        Some(emptiest) => format!("{emptiest} to {}", windows.fullest),
        None => format!("at most {}", windows.fullest),
    }
}
