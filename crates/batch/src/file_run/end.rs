//! The end of a run, summed up.

use std::io;
use std::sync::atomic::Ordering;

use fetchway_dispatch::Cause;
use fetchway_report::{About, Summary};

use super::config::FileRunConfig;
use super::input_thread::Reading;
use super::output_thread::OutputEnd;
use crate::error::BatchError;
use crate::journal::Found;
use crate::run::{Handle, Progress};

/// End of a run.
pub struct FileRunEnd {
    /// Summary of the run.
    pub summary: Summary,
    /// Progress at the end.
    pub progress: Progress,
    /// Number of failed items in the output, those of an earlier run included.
    pub failed: u64,
    /// Number of outcomes that were held back for the order and not written, because the run was stopped before
    /// their turn.
    pub held_back: usize,
    /// Reason why the run ended before all items were done, unless it was stopped.
    pub failure: Option<BatchError>,
    /// Error of the dispatch log.
    pub dispatch_log: io::Result<()>,
}

impl FileRunEnd {
    pub(super) fn new(
        config: &FileRunConfig,
        found: &Found,
        handle: &Handle,
        reading: &Reading,
        output: OutputEnd,
    ) -> Self {
        let progress = handle.progress();
        let slipped = Cause::ALL.into_iter().zip(progress.slipped);
        let about = About {
            input: config.input_name(),
            output: config.output_name(),
            target: config.run.rate,
            stopped: progress.stopped,
            earlier: found.lines,
            earlier_failed: found.failed,
            skipped: reading.skipped.load(Ordering::Relaxed),
            cut: progress.cut,
            wall: progress.elapsed,
            held_up: slipped
                .map(|(cause, slip)| (cause.as_str().to_owned(), slip))
                .collect(),
            adaptive: handle.found_rates(),
        };
        Self {
            summary: Summary::new(about, &output.sends, &output.statistics),
            failed: progress.failed + found.failed - found.again,
            held_back: output.written.as_ref().map_or(0, |it| it.held_back),
            failure: match (output.written, reading.failed.get()) {
                (Err(error), _) => Some(error),
                (Ok(_), Some(error)) => Some(error.clone()),
                (Ok(_), None) => progress.panicked.then(|| {
                    BatchError::new(
                        "a task of the run has panicked, which is a bug of fetchway; the outcomes so far are kept",
                    )
                }),
            },
            progress,
            dispatch_log: output.logged,
        }
    }
}
