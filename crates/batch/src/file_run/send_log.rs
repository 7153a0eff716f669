//! Times at which requests were handed to their connections, counted and logged.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::OnceLock;

use fetchway_policy::Rate;
use fetchway_report::SendCounter;
use parking_lot::Mutex;

use crate::error::BatchError;
use crate::run::Sent;

/// Most times that are kept uncounted. Whoever adds one more counts them all, which takes a fraction of a
/// millisecond.
const MOST: usize = 4_096;

/// Times of requests. The output's thread counts them with the next outcomes; if none come, because everything is
/// tried again, the senders do.
pub(super) struct SendLog {
    times: Mutex<Vec<Sent>>,
    /// Counter of a run that has begun.
    counter: OnceLock<Mutex<SendCounter>>,
    file: Option<Mutex<LogFile>>,
}

struct LogFile {
    to: BufWriter<File>,
    failed: Option<io::Error>,
}

impl SendLog {
    /// Times that are also written into the file `log`.
    pub(super) fn create(log: Option<&Path>) -> Result<Self, BatchError> {
        let open = |path: &Path| {
            let file = File::create(path);
            file.map_err(|error| {
                let path = path.display();
                BatchError::new(format!("the dispatch log {path} can't be written: {error}"))
            })
        };
        let file = log.map(open).transpose()?;
        Ok(Self {
            times: Mutex::default(),
            counter: OnceLock::new(),
            file: file.map(|file| {
                let to = BufWriter::new(file);
                Mutex::new(LogFile { to, failed: None })
            }),
        })
    }

    /// Adds the time of a request.
    pub(super) fn add(&self, sent: Sent) {
        let kept = {
            let mut times = self.times.lock();
            times.push(sent);
            times.len()
        };
        if kept >= MOST
            && let Some(counter) = self.counter.get()
        {
            self.count(counter);
        }
    }

    /// Returns the counter of a run that began at `began`, with this rate.
    pub(super) fn begin(&self, began: u64, rate: Option<Rate>) -> &Mutex<SendCounter> {
        self.counter
            .get_or_init(|| Mutex::new(SendCounter::new(began, rate)))
    }

    /// Counts the times that were added, and logs them.
    pub(super) fn count(&self, counter: &Mutex<SendCounter>) {
        // Locked before the times are taken, so that they stay in order.
        let mut counter = counter.lock();
        let all = std::mem::take(&mut *self.times.lock());
        for sent in &all {
            counter.count_send(sent.at, sent.repeated);
        }
        if let Some(file) = &self.file {
            let file = &mut *file.lock();
            let written = all
                .iter()
                .try_for_each(|sent| writeln!(file.to, "{}", sent.at));
            // Reported at the end: the run is worth more than its log.
            file.failed = file.failed.take().or(written.err());
        }
    }

    /// Writes the rest of the file. Returns the first error of writing it.
    pub(super) fn finish(&self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let file = &mut *file.lock();
        let flushed = file.to.flush();
        file.failed.take().map_or(flushed, Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_where_no_outcome_comes() {
        let name = format!("fetchway-dispatches-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let log = SendLog::create(Some(&path)).expect("a log");
        let counter = log.begin(0, None);
        for at in 0..3 * MOST as u64 + 7 {
            log.add(Sent {
                at,
                repeated: at > 0,
            });
            assert!(log.times.lock().len() < MOST);
        }
        assert_eq!(counter.lock().count(), 3 * MOST as u64);
        log.count(counter);
        log.finish().expect("it is written");
        assert_eq!(counter.lock().count(), 3 * MOST as u64 + 7);
        let log = std::fs::read_to_string(&path).expect("the log");
        std::fs::remove_file(&path).expect("it is there");
        let times: Vec<u64> = log.lines().map(|it| it.parse().expect("a time")).collect();
        assert!(times.into_iter().eq(0..3 * MOST as u64 + 7));
    }
}
