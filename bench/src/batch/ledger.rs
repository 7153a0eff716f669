//! The origin that records arrivals, and its records.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use fetchway_test_origins::{Arrival, Windows};

use crate::origin::OriginProcess;

/// Bytes of filler in each body.
const SIZE: &str = "64";
/// One second in the unit of arrivals.
pub(crate) const SECOND: u64 = 1_000_000;

/// The origin, with the file that it writes arrivals to.
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

    /// Value of one of the origin's counters.
    pub(crate) async fn count(&mut self, name: &str) -> anyhow::Result<u64> {
        let stats = self.origin.stats().await?;
        let count = stats[name].as_u64();
        count.with_context(|| format!("the origin has no counter {name}"))
    }

    /// Takes the arrivals since the last call; the origin then discards them.
    pub(crate) async fn arrivals(&mut self) -> anyhow::Result<Arrivals> {
        let path = self
            .file
            .to_str()
            .context("the folder's path is not UTF-8")?;
        self.origin.tell(&format!("write {path}")).await?;
        let arrivals = Arrivals::read(&self.file)?;
        self.tell("forget").await?;
        let unlisted = self.count("unlisted").await?;
        ensure!(
            unlisted == 0,
            "the origin did not record {unlisted} arrivals"
        );
        Ok(arrivals)
    }
}

/// Arrivals, sorted by time.
#[derive(Default)]
pub(crate) struct Arrivals(pub(crate) Vec<Arrival>);

impl Arrivals {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).context("the file of arrivals cannot be read")?;
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
            arrivals.context("the file of arrivals has an unknown format")?,
        ))
    }

    pub(crate) fn windows(&self) -> Windows {
        let times: Vec<u64> = self.0.iter().map(|arrival| arrival.micros).collect();
        Windows::of(&times, SECOND)
    }

    /// Number of requests for each item.
    pub(crate) fn by_item(&self) -> HashMap<u32, u32> {
        let mut items = HashMap::new();
        for arrival in &self.0 {
            *items.entry(arrival.item).or_default() += 1;
        }
        items
    }

    /// Fails unless each item below `items` was requested once, and no other.
    pub(crate) fn each_once(&self, items: u32) -> anyhow::Result<()> {
        let by_item = self.by_item();
        let once = (0..items).all(|item| by_item.get(&item) == Some(&1));
        ensure!(
            once && self.0.len() == items as usize,
            "the origin received {} requests for {} items; expected {items} items, once each",
            self.0.len(),
            by_item.len()
        );
        Ok(())
    }

    /// Seconds from the first arrival to the last.
    pub(crate) fn lasted(&self) -> f64 {
        match &self.0[..] {
            [first, .., last] => (last.micros - first.micros) as f64 / SECOND as f64,
            _ => 0.0,
        }
    }
}
