//! `fetchway batch` against the origin that writes arrivals down.
//!
//! `command` runs one, `output` reads what it wrote, `ledger` what the origin saw. Each other file is a
//! part: what it does, what it prints, and what counts it insists on. Timings are printed beside what is
//! aimed at, and fail nothing.

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

/// No part may take longer: something hangs. The longest, `long` and `killed`, take some minutes.
const PART: Duration = Duration::from_secs(30 * 60);

#[derive(Args, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    programs: Programs,
    /// Which parts; all but `long` unless told
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// oha's program
    #[arg(long, default_value = "oha")]
    oha: PathBuf,
    /// wrk's program
    #[arg(long, default_value = "wrk")]
    wrk: PathBuf,
    /// Items, instead of each part's own number
    #[arg(long)]
    items: Option<u32>,
    /// Requests a second in `paced`, `strict`, `long` and `refusing`; a fifth is the limit in `adaptive`
    #[arg(long, default_value_t = 5_000)]
    rate: u32,
    /// Requests a second in `relays`
    #[arg(long, default_value_t = 20_000)]
    relay_rate: u32,
    /// Requests a second in `served`
    #[arg(long, default_value_t = 2_000)]
    served_rate: u32,
    /// Connections in `full`, `killed`
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Rounds of `full`; each measures all three programs
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Kills of each kind of output in `killed`
    #[arg(long, default_value_t = 50)]
    kills: u32,
    /// Of the points of the kills; printed, so that a run can be repeated
    #[arg(long)]
    seed: Option<u64>,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// 100,000 items at 5,000/s: wall time, start-up, lateness
    Paced,
    /// The same with --strict: no window over
    Strict,
    /// 1,000,000 items at 5,000/s: memory. Only when named
    Long,
    /// As fast as it goes, beside oha and wrk
    Full,
    /// kill -9 at 50 points, resumed
    Killed,
    /// Over four relays, one of them killed and started again
    Relays,
    /// An origin that answers 429 beside one that does not
    Refusing,
    /// --adaptive: an origin that answers 429 above a rate, and one that does not
    Adaptive,
    /// Run by a node over a session and over HTTP, for clients that write faster than they read
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
            .with_context(|| format!("{name} hangs"))?
            .with_context(|| format!("{name} has failed"))?;
    }
    Ok(())
}

/// What the parts share; each has its own folder.
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

    /// The path of a file in the part's folder, as an argument.
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Starts `fetchway batch`.
    fn batch(&self, args: &[&str]) -> anyhow::Result<command::Batch> {
        command::Batch::start(&self.settings.programs.fetchway, &self.folder, args)
    }

    /// Writes an input of one URL a line, and gives its path.
    fn input(&self, urls: impl Iterator<Item = String>) -> anyhow::Result<String> {
        let path = self.path("urls.txt");
        let written = File::create(&path).and_then(|file| {
            let mut file = BufWriter::new(file);
            urls.into_iter()
                .try_for_each(|url| writeln!(file, "{url}"))?;
            file.flush()
        });
        written.with_context(|| format!("{path} can't be written"))?;
        Ok(path)
    }
}

/// What a figure is aimed at, and whether it is.
fn aim(met: bool, aim: &str) -> String {
    match met {
        true => format!("({aim})"),
        false => format!("(MISSED: {aim})"),
    }
}
