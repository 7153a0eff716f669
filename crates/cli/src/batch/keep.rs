//! The output's thread: writes every outcome, and counts it.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Context as _;
use fetchway_batch::{Journal, JournalError, Outcomes, Pace, Sent, Statistics, Written};
use tokio::sync::oneshot;

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

/// The thread that takes outcomes and writes them.
pub(super) struct Keeper {
    kept: oneshot::Receiver<Kept>,
}

impl Keeper {
    /// Writes `outcomes` to `journal` until the last, or until they can't be written: then they are
    /// dropped, and the run with them. Counts from `began` on.
    pub(super) fn start<H: Send + 'static>(
        outcomes: Outcomes<H>,
        journal: Journal,
        dispatches: Arc<Dispatches>,
        began: u64,
    ) -> io::Result<Self> {
        let (to, kept) = oneshot::channel();
        let thread = thread::Builder::new().name("output".to_owned());
        thread.spawn(move || {
            let (mut pace, mut statistics) = (Pace::new(began), Statistics::new(began));
            let counts = (&mut pace, &mut statistics);
            let written = write(outcomes, journal, &dispatches, counts);
            dispatches.note(&mut pace);
            let kept = Kept {
                pace,
                statistics,
                written,
                logged: dispatches.finish(),
            };
            // Nobody waits for it after a second signal.
            let _unwanted = to.send(kept);
        })?;
        Ok(Self { kept })
    }

    /// Waits for the last outcome to be written.
    pub(super) async fn finished(self) -> anyhow::Result<Kept> {
        let kept = self.kept.await;
        kept.context("the output's thread has panicked; the output can be resumed")
    }
}

fn write<H>(
    mut outcomes: Outcomes<H>,
    mut journal: Journal,
    dispatches: &Dispatches,
    (pace, statistics): (&mut Pace, &mut Statistics),
) -> Result<Written, JournalError> {
    let mut chunk = Vec::new();
    loop {
        // Held until their lines are written: what a crash has fetched again is what was in flight.
        let places = outcomes.wait(&mut chunk);
        if chunk.is_empty() {
            return journal.finish();
        }
        dispatches.note(pace);
        for done in &chunk {
            journal.write(&done.outcome)?;
        }
        journal.flush()?;
        // What could not be written is not done.
        for done in chunk.drain(..) {
            statistics.record(&done.outcome);
        }
        drop(places);
    }
}
