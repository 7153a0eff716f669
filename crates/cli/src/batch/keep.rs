//! The output's thread: writes every outcome, and counts it.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use fetchway_batch::{Done, Journal, JournalError, Outcomes, Pace, Sent, Statistics, Written};
use tokio::sync::mpsc;

/// Outcomes handed on at once.
const CHUNK: usize = 256;
/// Chunks on their way. When the thread is slower than the run, the run waits.
const CHUNKS: usize = 2;
/// How long outcomes of a compressed output may wait to be written: a frame each time is dear.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

enum Feed<H> {
    Outcomes(Vec<Done<H>>),
    /// Time to write what there is.
    Flush,
}

/// The times at which requests were handed over, on their way to the output's thread. The run waits for
/// that, so they are bounded with the outcomes.
pub(super) struct Dispatches {
    times: Mutex<Vec<Sent>>,
    log: Option<Mutex<Log>>,
}

struct Log {
    to: BufWriter<File>,
    failed: Option<io::Error>,
}

impl Dispatches {
    /// Written into the file `log` too.
    pub(super) fn new(log: Option<&Path>) -> anyhow::Result<Arc<Self>> {
        let log = log.map(|path| {
            let file = File::create(path);
            file.with_context(|| format!("the dispatch log {} can't be written", path.display()))
        });
        let log = log.transpose()?;
        Ok(Arc::new(Self {
            times: Mutex::default(),
            log: log.map(|file| {
                let to = BufWriter::new(file);
                Mutex::new(Log { to, failed: None })
            }),
        }))
    }

    /// A request is handed over.
    pub(super) fn add(&self, sent: Sent) {
        lock(&self.times).push(sent);
    }

    /// Counts what has come, and logs it.
    fn note(&self, pace: &mut Pace) {
        let all = std::mem::take(&mut *lock(&self.times));
        for sent in &all {
            pace.dispatched(sent.at, sent.again);
        }
        if let Some(log) = &self.log {
            let log = &mut *lock(log);
            let written = all
                .iter()
                .try_for_each(|sent| writeln!(log.to, "{}", sent.at));
            // Told at the end: the run is worth more than its log.
            log.failed = log.failed.take().or(written.err());
        }
    }

    fn finish(&self) -> io::Result<()> {
        let Some(log) = &self.log else {
            return Ok(());
        };
        let log = &mut *lock(log);
        let flushed = log.to.flush();
        log.failed.take().map_or(flushed, Err)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread ends with.
pub(super) struct Kept {
    pub(super) pace: Pace,
    pub(super) statistics: Statistics,
    /// What was written, or why the output could not be written.
    pub(super) written: Result<Written, JournalError>,
    /// Or why the dispatch log could not be.
    pub(super) logged: io::Result<()>,
}

/// Where outcomes go.
pub(super) struct Keeper<H> {
    to: mpsc::Sender<Feed<H>>,
    thread: JoinHandle<Kept>,
}

impl<H: Send + 'static> Keeper<H> {
    /// Writes to `journal`, and counts from `began` on.
    pub(super) fn start(
        journal: Journal,
        dispatches: Arc<Dispatches>,
        began: u64,
    ) -> io::Result<Self> {
        let (to, mut from) = mpsc::channel(CHUNKS);
        let thread = thread::Builder::new().name("output".to_owned());
        let thread = thread.spawn(move || {
            let (mut pace, mut statistics) = (Pace::new(began), Statistics::new(began));
            let counts = (&mut pace, &mut statistics);
            let written = write(journal, &dispatches, counts, &mut from);
            dispatches.note(&mut pace);
            Kept {
                pace,
                statistics,
                written,
                logged: dispatches.finish(),
            }
        })?;
        Ok(Self { to, thread })
    }

    /// Hands on all outcomes, until the last, or until they can't be written. Then they are dropped,
    /// and the run with them.
    pub(super) async fn take(&self, mut outcomes: Outcomes<H>) {
        let mut flush = tokio::time::interval(FLUSH_EVERY);
        loop {
            let mut chunk = Vec::new();
            let feed = tokio::select! {
                count = outcomes.take(&mut chunk, CHUNK) => match count {
                    0 => return,
                    _ => Feed::Outcomes(chunk),
                },
                _ = flush.tick() => Feed::Flush,
            };
            if self.to.send(feed).await.is_err() {
                return;
            }
        }
    }

    /// Waits for the last outcome to be written. Blocks.
    pub(super) fn finish(self) -> anyhow::Result<Kept> {
        drop(self.to);
        let kept = self.thread.join();
        kept.ok()
            .context("the output's thread has panicked; the output can be resumed")
    }
}

fn write<H>(
    mut journal: Journal,
    dispatches: &Dispatches,
    (pace, statistics): (&mut Pace, &mut Statistics),
    from: &mut mpsc::Receiver<Feed<H>>,
) -> Result<Written, JournalError> {
    while let Some(feed) = from.blocking_recv() {
        dispatches.note(pace);
        if let Feed::Outcomes(chunk) = feed {
            for done in &chunk {
                journal.write(&done.outcome)?;
                statistics.record(&done.outcome);
            }
        }
        if from.is_empty() {
            // A compressed output waits a second for more; then a flush will come.
            journal.flush_soon()?;
        }
    }
    journal.finish()
}
