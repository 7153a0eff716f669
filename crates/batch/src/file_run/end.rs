//! The end of a run, summed up.

use std::sync::atomic::Ordering;
use std::{fmt, io};

use fetchway_report::{About, Summary};

use super::config::FileRunConfig;
use super::input_thread::{InputEnd, Reading};
use super::output_thread::Output;
use crate::journal::{Found, JournalError};
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
    pub failure: Option<Failure>,
    /// Error of the dispatch log.
    pub dispatch_log: io::Result<()>,
}

/// Reason why a run ended before all items were done.
#[derive(Debug)]
pub enum Failure {
    /// The output could not be written.
    Output(JournalError),
    /// The input could not be read to its end; the message says why.
    Input(String),
    /// A task of the run has panicked.
    Panicked,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(error) => error.fmt(f),
            Self::Input(message) => f.write_str(message),
            Self::Panicked => f.write_str(
                "a task of the run has panicked, which is a bug of fetchway; the outcomes so far are kept",
            ),
        }
    }
}

impl FileRunEnd {
    pub(super) fn new(
        config: &FileRunConfig,
        found: &Found,
        handle: &Handle,
        reading: &Reading,
        output: Output,
    ) -> Self {
        let progress = handle.progress();
        let slipped = progress.slipped.into_iter();
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
        let input = reading.failed.get().map(InputEnd::to_string);
        Self {
            summary: Summary::new(about, &output.sends, &output.statistics),
            failed: progress.failed + found.failed - found.again,
            held_back: output.written.as_ref().map_or(0, |it| it.held_back),
            failure: match (output.written, input) {
                (Err(error), _) => Some(Failure::Output(error)),
                (Ok(_), Some(message)) => Some(Failure::Input(message)),
                (Ok(_), None) if progress.panicked => Some(Failure::Panicked),
                (Ok(_), None) => None,
            },
            progress,
            dispatch_log: output.logged,
        }
    }
}
