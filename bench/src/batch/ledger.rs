//! The origin that writes arrivals down, and what it wrote.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use fetchway_test_origins::{Arrival, Windows};

use crate::origin::OriginProcess;

/// Bytes of filler in each body.
const SIZE: &str = "64";
/// A second of arrivals, in their unit.
pub(crate) const SECOND: u64 = 1_000_000;

/// The origin, with a file for its arrivals.
pub(crate) struct Ledger {
    origin: OriginProcess,
    file: PathBuf,
}

impl Ledger {
    pub(crate) async fn start(program: &Path, folder: &Path, name: &str) -> anyhow::Result<Self> {
        let origin = OriginProcess::start(program, &["ledger", "--body", SIZE]).await?;
        let file = folder.join(format!("{name}.arrivals"));
        Ok(Self { origin, file })
    }

    pub(crate) fn url(&self, item: u32) -> String {
        format!("http://{}/item/{item}", self.origin.addr())
    }

    pub(crate) async fn tell(&mut self, command: &str) -> anyhow::Result<()> {
        self.origin.tell(command).await.map(|_| ())
    }

    /// One of its counters.
    pub(crate) async fn count(&mut self, name: &str) -> anyhow::Result<u64> {
        let stats = self.origin.stats().await?;
        let count = stats[name].as_u64();
        count.with_context(|| format!("the origin has no counter {name}"))
    }

    /// The arrivals since the last time, which it then lets go of.
    pub(crate) async fn arrivals(&mut self) -> anyhow::Result<Arrivals> {
        let path = self.file.to_str().context("the folder's name is no text")?;
        self.origin.tell(&format!("write {path}")).await?;
        let arrivals = Arrivals::read(&self.file)?;
        self.tell("forget").await?;
        let unlisted = self.count("unlisted").await?;
        ensure!(unlisted == 0, "{unlisted} arrivals were not written down");
        Ok(arrivals)
    }
}

/// Arrivals in the order of their times.
#[derive(Default)]
pub(crate) struct Arrivals(pub(crate) Vec<Arrival>);

impl Arrivals {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).context("the arrivals can't be read")?;
        let arrivals = text.lines().map(|line| {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap_or_default();
            Ok(Arrival {
                micros: word().parse()?,
                item: word().parse()?,
                status: word().parse()?,
            })
        });
        let arrivals: Result<_, std::num::ParseIntError> = arrivals.collect();
        Ok(Self(
            arrivals.context("the arrivals are not of their form")?,
        ))
    }

    pub(crate) fn windows(&self) -> Windows {
        let times: Vec<u64> = self.0.iter().map(|arrival| arrival.micros).collect();
        Windows::of(&times, SECOND)
    }

    /// How often each item was asked for.
    pub(crate) fn by_item(&self) -> HashMap<u32, u32> {
        let mut items = HashMap::new();
        for arrival in &self.0 {
            *items.entry(arrival.item).or_default() += 1;
        }
        items
    }

    /// Fails unless each of the items below `items` was asked for once, and nothing else.
    pub(crate) fn each_once(&self, items: u32) -> anyhow::Result<()> {
        let by_item = self.by_item();
        let once = (0..items).all(|item| by_item.get(&item) == Some(&1));
        ensure!(
            once && self.0.len() == items as usize,
            "the origin was asked {} times for {} items, which were to be {items}, once each",
            self.0.len(),
            by_item.len()
        );
        Ok(())
    }

    /// Seconds from the first to the last.
    pub(crate) fn lasted(&self) -> f64 {
        match &self.0[..] {
            [first, .., last] => (last.micros - first.micros) as f64 / SECOND as f64,
            _ => 0.0,
        }
    }
}
