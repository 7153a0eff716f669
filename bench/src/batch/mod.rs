//! `fetchway batch` with an origin that records the arrival of each request.
//!
//! `command` runs a batch, `output` reads its output, and `ledger` reads the origin's records. Each other
//! file is one part of the bench. Wrong counts are errors; timings are printed with their targets, and are
//! never errors.

mod adaptive;
mod command;
mod full;
mod killed;
mod ledger;
mod output;
mod paced;
mod peers;
mod refusing;
mod relays;
mod served;
mod ways;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::time::timeout;

use crate::process::Folder;
use crate::{Programs, say};

/// Longest time of a part; after this it is considered to hang. `long` and `killed` take some minutes.
const PART: Duration = Duration::from_secs(30 * 60);

#[derive(Args, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    programs: Programs,
    /// Parts to run [default: all but `long`]
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// The oha binary
    #[arg(long, default_value = "oha")]
    oha: PathBuf,
    /// The wrk binary
    #[arg(long, default_value = "wrk")]
    wrk: PathBuf,
    /// Number of items, instead of each part's own
    #[arg(long)]
    items: Option<u32>,
    /// Requests per second in `paced`, `strict`, `long` and `refusing`; a fifth of it is the limit in `adaptive`
    #[arg(long, default_value_t = 5_000)]
    rate: u32,
    /// Requests per second in `relays`
    #[arg(long, default_value_t = 20_000)]
    relay_rate: u32,
    /// Requests per second in `served`
    #[arg(long, default_value_t = 2_000)]
    served_rate: u32,
    /// Connections in `full` and `killed`
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Rounds of `full`; each measures all three programs
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Kills for each format of the output in `killed`
    #[arg(long, default_value_t = 50)]
    kills: u32,
    /// Seed of the points of the kills; printed, so that a run can be repeated [default: random]
    #[arg(long)]
    seed: Option<u64>,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// 100,000 items at 5,000/s: wall time, start-up, lateness
    Paced,
    /// The same with --strict: no window above the rate
    Strict,
    /// 1,000,000 items at 5,000/s: memory; runs only if named
    Long,
    /// Full speed, compared with oha and wrk
    Full,
    /// Runs ended with kill -9 at 50 points, and resumed
    Killed,
    /// Four relays, of which one is killed and restarted
    Relays,
    /// An origin that answers 429, together with one that does not
    Refusing,
    /// --adaptive with an origin that answers 429 above a rate, and with one that does not
    Adaptive,
    /// Batches that a node runs over a session and over HTTP, for clients that write faster than they read
    Served,
}

impl Part {
    const ALL: [Self; 8] = [
        Self::Paced,
        Self::Strict,
        Self::Full,
        Self::Killed,
        Self::Relays,
        Self::Refusing,
        Self::Adaptive,
        Self::Served,
    ];
}

pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let parts = match &settings.parts[..] {
        [] => &Part::ALL[..],
        named => named,
    };
    for part in parts {
        let name = part.to_possible_value();
        let name = name.as_ref().map_or("", |name| name.get_name());
        say(&format!("\n== {name}"));
        let bench = Bench {
            settings,
            folder: Folder::new()?,
        };
        let ended = timeout(PART, bench.part(*part)).await;
        ended
            .with_context(|| format!("{name} did not finish in time"))?
            .with_context(|| format!("{name} failed"))?;
    }
    Ok(())
}

/// Settings, programs and folder of one part.
struct Bench<'a> {
    settings: &'a Settings,
    folder: Folder,
}

impl Bench<'_> {
    async fn part(&self, part: Part) -> anyhow::Result<()> {
        match part {
            Part::Paced => paced::run(self, 100_000, false).await,
            Part::Strict => paced::run(self, 100_000, true).await,
            Part::Long => paced::run(self, 1_000_000, false).await,
            Part::Full => full::run(self).await,
            Part::Killed => killed::run(self).await,
            Part::Relays => relays::run(self).await,
            Part::Refusing => refusing::run(self).await,
            Part::Adaptive => adaptive::run(self).await,
            Part::Served => served::run(self).await,
        }
    }

    fn items(&self, usual: u32) -> u32 {
        self.settings.items.unwrap_or(usual)
    }

    async fn ledger(&self, name: &str) -> anyhow::Result<ledger::Ledger> {
        let program = &self.settings.programs.origin_program;
        ledger::Ledger::start(program, self.folder.path(), name).await
    }

    /// Path of a file in the part's folder, as an argument.
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Starts `fetchway batch`.
    fn batch(&self, args: &[&str]) -> anyhow::Result<command::Batch> {
        command::Batch::start(&self.settings.programs.fetchway, &self.folder, args)
    }

    /// Writes an input file with one URL a line, and returns its path.
    fn input(&self, urls: impl Iterator<Item = String>) -> anyhow::Result<String> {
        let path = self.path("urls.txt");
        let written = File::create(&path).and_then(|file| {
            let mut file = BufWriter::new(file);
            urls.into_iter()
                .try_for_each(|url| writeln!(file, "{url}"))?;
            file.flush()
        });
        written.with_context(|| format!("{path} cannot be written"))?;
        Ok(path)
    }
}

/// Text for the target of a figure, and whether it was reached.
fn aim(met: bool, aim: &str) -> String {
    match met {
        true => format!("({aim})"),
        false => format!("(MISSED: {aim})"),
    }
}
