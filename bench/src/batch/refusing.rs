//! An origin that answers 429 above a fifth of the run's rate, together with an origin without a limit.

use std::path::Path;

use anyhow::ensure;
use fetchway_test_origins::Arrival;

use super::ledger::{Arrivals, SECOND};
use super::output::Output;
use super::{Bench, aim};
use crate::say;

/// Time until the rate should be stable, in seconds.
const SETTLED: u64 = 5;
/// Maximum share of refused requests after that time, in percent.
const REFUSED: f64 = 2.0;
/// Maximum by which the other origin's items may take longer than at their share of the rate, in percent.
const SLOWER: f64 = 1.0;

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<()> {
    for kind in ["fixed", "sliding"] {
        against(bench, kind).await?;
    }
    Ok(())
}

async fn against(bench: &Bench<'_>, kind: &str) -> anyhow::Result<()> {
    // Half of the items for each origin, alternating.
    let (items, rate) = (bench.items(40_000) / 2 * 2, bench.settings.rate);
    let limit = rate / 5;
    let mut refusing = bench.ledger("refusing").await?;
    let mut other = bench.ledger("other").await?;
    refusing.tell(&format!("limit {limit} {kind}")).await?;
    let urls = (0..items).map(|item| match item % 2 {
        0 => refusing.url(item / 2),
        _ => other.url(item / 2),
    });
    let input = bench.input(urls)?;
    let (output, pace) = (bench.path(&format!("{kind}.jsonl")), format!("{rate}/s"));
    let args = [&*input, "--output", &output, "--rate", &pace];
    let took = bench.batch(&args)?.ended().await?.succeeded()?;
    Output::read(Path::new(&output), items)?;
    let (refusing, other) = (refusing.arrivals().await?, other.arrivals().await?);
    other.each_once(items / 2)?;
    let answered = refusing.0.iter().filter(|it| it.status == 200).count();
    ensure!(
        answered == items as usize / 2,
        "{answered} items were answered by the origin that refuses"
    );

    say(&format!(
        "429 above {limit}/s ({kind} windows) and an origin beside it, {} items each in turns, at \
         {rate}/s: {:.2} s",
        items / 2,
        took.wall.as_secs_f64()
    ));
    settling(&refusing, limit);
    let (lasted, share) = (other.lasted(), f64::from(items) / f64::from(rate));
    let slower = (lasted / share - 1.0) * 100.0;
    say(&format!(
        "the other origin's items took {lasted:.2} s, {share:.2} s at their share of the rate: \
         {slower:+.2} % {}",
        aim(slower <= SLOWER, "at most 1 %")
    ));
    Ok(())
}

fn settling(arrivals: &Arrivals, limit: u32) {
    let begun = arrivals.0.first().map_or(0, |first| first.micros);
    let late = |micros: u64| micros - begun >= SETTLED * SECOND;
    let all = arrivals.0.len();
    let refused = arrivals.0.iter().filter(|it| it.status == 429);
    let (late_refused, early_refused): (Vec<&Arrival>, Vec<&Arrival>) =
        refused.partition(|it| late(it.micros));
    let after = arrivals.0.iter().filter(|it| late(it.micros)).count();
    let percent = late_refused.len() as f64 * 100.0 / after.max(1) as f64;
    let answered = after - late_refused.len();
    let time = arrivals.lasted() - SETTLED as f64;
    say(&format!(
        "of {all} requests to it {} were refused in the first {SETTLED} s, and after them {} of {after}: \
         {percent:.2} % {}; then {:.0} of {limit} a second were answered",
        early_refused.len(),
        late_refused.len(),
        aim(percent < REFUSED, "less than 2 %"),
        answered as f64 / time.max(1e-3),
    ));
}
