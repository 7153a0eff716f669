//! The thread that writes and counts every outcome.

use std::sync::Arc;
use std::{io, thread};

use fetchway_policy::Rate;
use fetchway_report::{SendCounter, Statistics};
use tokio::sync::oneshot;

use super::send_log::SendLog;
use crate::error::BatchError;
use crate::journal::{Journal, Written};
use crate::run::Outcomes;

/// Result of the thread.
pub(super) struct OutputEnd {
    pub(super) sends: SendCounter,
    pub(super) statistics: Statistics,
    /// Content of the output, or the reason why it could not be written.
    pub(super) written: Result<Written, BatchError>,
    /// Error of the dispatch log, if it could not be written.
    pub(super) logged: io::Result<()>,
}

/// Writes `outcomes` to `journal` until the last, or until one cannot be written: then the outcomes are dropped,
/// and the run with them. Counts from the start of the run on, in windows of its rate. The receiver gets the
/// result, unless the thread panics.
pub(super) fn start<H: Send + 'static>(
    outcomes: Outcomes<H>,
    journal: Journal,
    sends: Arc<SendLog>,
    (began, rate): (u64, Option<Rate>),
) -> io::Result<oneshot::Receiver<OutputEnd>> {
    let (to, output) = oneshot::channel();
    let thread = thread::Builder::new().name("output".to_owned());
    thread.spawn(move || {
        let counter = sends.begin(began, rate);
        let mut statistics = Statistics::new(began);
        let count = || sends.count(counter);
        let written = write(outcomes, journal, count, &mut statistics);
        count();
        let output = OutputEnd {
            sends: counter.lock().clone(),
            statistics,
            written,
            logged: sends.finish(),
        };
        // Nobody waits for it after a second signal.
        let _unwanted = to.send(output);
    })?;
    Ok(output)
}

fn write<H>(
    mut outcomes: Outcomes<H>,
    mut journal: Journal,
    count: impl Fn(),
    statistics: &mut Statistics,
) -> Result<Written, BatchError> {
    let mut chunk = Vec::new();
    loop {
        // Held until the lines are written, so that a crash loses only what was in flight.
        let places = outcomes.wait(&mut chunk);
        if chunk.is_empty() {
            return journal.finish();
        }
        count();
        for done in &chunk {
            journal.write(&done.outcome)?;
        }
        journal.flush()?;
        // An outcome that could not be written is not done.
        for done in chunk.drain(..) {
            statistics.record(&done.outcome.item_end());
        }
        drop(places);
    }
}
