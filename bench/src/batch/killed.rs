//! Runs that are ended with `kill -9` and then resumed.
//!
//! The points of the kills are numbers of requests, so they do not depend on the speed of the machine.

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

/// Delay of the origin's answers, so that requests are in flight, in milliseconds.
const DELAY: u64 = 2;

/// A format of the output.
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

/// Numbers of items of one kill.
struct Kill {
    /// Items requested by the killed run.
    asked: usize,
    /// Items in flight at the kill, as the origin saw it.
    flying: u64,
    /// Items requested by both runs.
    again: usize,
}

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<()> {
    let seed = bench.settings.seed.unwrap_or_else(rand::random);
    let (items, kills) = (bench.items(20_000), bench.settings.kills);
    ensure!(
        items > 1 && kills > 0,
        "at least 2 items and 1 kill are required: change --items or --kills"
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
        "the output is not in input order"
    );
    let again = first
        .keys()
        .filter(|item| second.contains_key(item))
        .count();
    ensure!(
        first.len() + second.len() - again == items as usize,
        "the runs requested {} and then {} of {items} items, {again} of them twice",
        first.len(),
        second.len()
    );
    ensure!(
        first
            .values()
            .chain(second.values())
            .all(|times| *times == 1),
        "one run requested an item twice"
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
    // With ordered output, outcomes that wait for an earlier item are also fetched again, without a limit.
    let judged = match form.flags {
        [] => {
            let most = kills.iter().map(|kill| kill.again).max();
            let words = format!("at most {connections}, the items in flight");
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
