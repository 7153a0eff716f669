//! `kill -9` in the middle of a run, and what resuming it makes of that.
//!
//! The points are numbers of requests, so they do not depend on how fast the machine is.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::ledger::Ledger;
use super::output::Output;
use super::{Bench, aim};
use crate::say;
use crate::spread::Spread;

/// How long the origin takes for an answer, so that there is something in flight: milliseconds.
const DELAY: u64 = 2;

/// A kind of output.
struct Form {
    name: &'static str,
    file: &'static str,
    flags: &'static [&'static str],
}

const FORMS: [Form; 3] = [
    Form {
        name: "plain",
        file: "out.jsonl",
        flags: &[],
    },
    Form {
        name: "compressed",
        file: "out.jsonl.zst",
        flags: &[],
    },
    Form {
        name: "ordered",
        file: "out.jsonl",
        flags: &["--ordered"],
    },
];

/// One kill, in items.
struct Kill {
    /// Asked for by the killed run.
    asked: usize,
    /// In flight as the origin saw it.
    flying: u64,
    /// Asked for by both runs.
    again: usize,
}

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<()> {
    let seed = bench.settings.seed.unwrap_or_else(rand::random);
    let (items, kills) = (bench.items(20_000), bench.settings.kills);
    ensure!(
        items > 1 && kills > 0,
        "there must be 2 items and a kill at least"
    );
    say(&format!(
        "{kills} kills of runs of {items} items for each kind of output; --seed {seed}"
    ));
    let mut random = StdRng::seed_from_u64(seed);
    let mut origin = bench.ledger("origin").await?;
    origin.tell(&format!("delay {DELAY}")).await?;
    let input = bench.input((0..items).map(|item| origin.url(item)))?;
    for form in &FORMS {
        let mut killed = Vec::new();
        for _ in 0..kills {
            let at = random.random_range(1..items);
            let one = kill(bench, &mut origin, form, &input, items, at).await;
            killed.push(one.with_context(|| format!("{}, killed at request {at}", form.name))?);
        }
        report(form, &killed, bench.settings.connections);
    }
    Ok(())
}

async fn kill(
    bench: &Bench<'_>,
    origin: &mut Ledger,
    form: &Form,
    input: &str,
    items: u32,
    at: u32,
) -> anyhow::Result<Kill> {
    let output = bench.path(form.file);
    let connections = bench.settings.connections.to_string();
    let mut args = vec![input, "--output", &output, "--concurrency", &connections];
    args.extend(form.flags);
    let before = origin.count("arrivals").await?;
    let left_before = origin.count("abandoned").await?;
    let mut batch = bench.batch(&args)?;
    let point = format!("arrivals {}", before + u64::from(at));
    batch.until(origin.tell(&point)).await?;
    batch.kill().await?;
    origin.tell("left").await?;
    let flying = origin.count("abandoned").await? - left_before;
    let first = origin.arrivals().await?.by_item();

    args.push("--resume");
    bench.batch(&args)?.ended().await?.succeeded()?;
    let second = origin.arrivals().await?.by_item();
    let read = Output::read(Path::new(&output), items)?;
    fs::remove_file(&output)?;
    ensure!(
        !form.flags.contains(&"--ordered") || read.order.is_sorted(),
        "the output is not in the order of the input"
    );
    let again = first
        .keys()
        .filter(|item| second.contains_key(item))
        .count();
    ensure!(
        first.len() + second.len() - again == items as usize,
        "the origin was asked for {} and then {} items, {again} of them twice, of {items}",
        first.len(),
        second.len()
    );
    ensure!(
        first
            .values()
            .chain(second.values())
            .all(|times| *times == 1),
        "one run has asked for an item twice"
    );
    Ok(Kill {
        asked: first.len(),
        flying,
        again,
    })
}

fn report(form: &Form, kills: &[Kill], connections: usize) {
    let spread = |figure: fn(&Kill) -> f64| {
        let figures: Vec<f64> = kills.iter().map(figure).collect();
        Spread::of(&figures, 0)
    };
    // In order, what is held back for an earlier item is fetched again too, however much it is.
    let judged = match form.flags {
        [] => {
            let most = kills.iter().map(|kill| kill.again).max();
            let words = format!("at most {connections}, those in flight");
            aim(most <= Some(connections), &words)
        }
        _ => String::new(),
    };
    say(&format!(
        "{:<11}{} kills, each resumed: every item has one line; killed after {} requests; fetched twice {} \
         {judged}, of them unanswered by the origin {}",
        form.name,
        kills.len(),
        spread(|kill| kill.asked as f64),
        spread(|kill| kill.again as f64),
        spread(|kill| kill.flying as f64),
    ));
}
