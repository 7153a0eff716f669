//! The output's thread: writes every outcome, and counts it.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use anyhow::Context as _;
use fetchway_batch::{Journal, JournalError, Outcomes, Sent, Written};
use fetchway_policy::Rate;
use fetchway_report::{SendCounter, Statistics};
use tokio::sync::oneshot;

/// Times that are kept at most. Whoever adds one beyond counts them all, which takes a fraction of a
/// millisecond.
const MOST: usize = 4_096;

/// The times at which requests were handed over. They are counted with the next outcomes, by the output's
/// thread; where none come, as while all is tried again, by those who send.
pub(super) struct Dispatches {
    times: Mutex<Vec<Sent>>,
    /// Of a run that has begun.
    pace: OnceLock<Mutex<SendCounter>>,
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
            pace: OnceLock::new(),
            log: log.map(|file| {
                let to = BufWriter::new(file);
                Mutex::new(Log { to, failed: None })
            }),
        }))
    }

    /// A request is handed over.
    pub(super) fn add(&self, sent: Sent) {
        let kept = {
            let mut times = lock(&self.times);
            times.push(sent);
            times.len()
        };
        if kept >= MOST
            && let Some(pace) = self.pace.get()
        {
            self.note(pace);
        }
    }

    /// What counts them, of a run that began at this moment, with this rate.
    fn begin(&self, began: u64, rate: Option<Rate>) -> &Mutex<SendCounter> {
        self.pace
            .get_or_init(|| Mutex::new(SendCounter::new(began, rate)))
    }

    /// Counts what has come, and logs it.
    fn note(&self, pace: &Mutex<SendCounter>) {
        // Locked before they are taken: they stay in order.
        let mut pace = lock(pace);
        let all = std::mem::take(&mut *lock(&self.times));
        for sent in &all {
            pace.count_send(sent.at, sent.repeated);
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
    pub(super) sends: SendCounter,
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
    /// dropped, and the run with them. Counts from `began` on, in windows of the rate.
    pub(super) fn start<H: Send + 'static>(
        outcomes: Outcomes<H>,
        journal: Journal,
        dispatches: Arc<Dispatches>,
        began: u64,
        rate: Option<Rate>,
    ) -> io::Result<Self> {
        let (to, kept) = oneshot::channel();
        let thread = thread::Builder::new().name("output".to_owned());
        thread.spawn(move || {
            let pace = dispatches.begin(began, rate);
            let mut statistics = Statistics::new(began);
            let note = || dispatches.note(pace);
            let written = write(outcomes, journal, note, &mut statistics);
            note();
            let kept = Kept {
                sends: lock(pace).clone(),
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
    note: impl Fn(),
    statistics: &mut Statistics,
) -> Result<Written, JournalError> {
    let mut chunk = Vec::new();
    loop {
        // Held until their lines are written: what a crash has fetched again is what was in flight.
        let places = outcomes.wait(&mut chunk);
        if chunk.is_empty() {
            return journal.finish();
        }
        note();
        for done in &chunk {
            journal.write(&done.outcome)?;
        }
        journal.flush()?;
        // What could not be written is not done.
        for done in chunk.drain(..) {
            statistics.record(&done.outcome.item_end());
        }
        drop(places);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_where_no_outcome_comes() {
        let name = format!("fetchway-dispatches-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let dispatches = Dispatches::new(Some(&path)).expect("a log");
        let pace = dispatches.begin(0, None);
        for at in 0..3 * MOST as u64 + 7 {
            dispatches.add(Sent {
                at,
                repeated: at > 0,
            });
            assert!(lock(&dispatches.times).len() < MOST);
        }
        assert_eq!(lock(pace).count(), 3 * MOST as u64);
        dispatches.note(pace);
        dispatches.finish().expect("it is written");
        assert_eq!(lock(pace).count(), 3 * MOST as u64 + 7);
        let log = std::fs::read_to_string(&path).expect("the log");
        std::fs::remove_file(&path).expect("it is there");
        let times: Vec<u64> = log.lines().map(|it| it.parse().expect("a time")).collect();
        assert!(times.into_iter().eq(0..3 * MOST as u64 + 7));
    }
}
