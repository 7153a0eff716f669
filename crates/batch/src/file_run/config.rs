//! Configuration of a run from an input to an output.

use std::path::PathBuf;

use crate::error::BatchError;
use crate::input::{Input, Source};
use crate::run::RunConfig;

/// Configuration of a run from an input to an output.
#[derive(Clone, Debug)]
pub struct FileRunConfig {
    /// Where items come from.
    pub source: Source,
    /// Treatment of lines that are not valid requests.
    pub bad_lines: BadLines,
    /// Where outcomes go.
    pub output: Output,
    /// Treatment of an output that an earlier run has written.
    pub earlier: Earlier,
    /// Write the outcomes in the order of the input.
    pub ordered: bool,
    /// Folder for the bodies of responses; none to keep them in their lines.
    pub bodies: Option<PathBuf>,
    /// Put lines on disk before they count as written.
    pub sync: bool,
    /// File for the time of each request, in microseconds since the Unix epoch.
    pub dispatch_log: Option<PathBuf>,
    /// Configuration of the run itself.
    pub run: RunConfig,
}

/// Treatment of lines of the input that are not valid requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLines {
    /// Read the whole input first, and fetch nothing if it has such a line.
    Stop,
    /// Leave the line out.
    Skip,
    /// Record the line as a failed item.
    Record,
}

/// Where outcomes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// A file, compressed if its name ends in `.gz` or `.zst`.
    File(PathBuf),
}

/// Treatment of an output that an earlier run has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// Refuse it.
    Refuse,
    /// Fetch the items that it lacks.
    Resume,
    /// Fetch the items that it lacks, and those that failed.
    RetryFailed,
}

impl FileRunConfig {
    /// Opens the input. With [`BadLines::Stop`], reads all of it once before.
    ///
    /// # Errors
    /// If the input cannot be read, or has a bad line on which the run is to stop.
    pub fn open_input(&self) -> Result<Input, BatchError> {
        if self.bad_lines == BadLines::Stop {
            self.source.check()?;
        }
        self.source.open()
    }

    /// Highest depth of a page that is fetched.
    pub(super) fn depth(&self) -> u32 {
        match self.run.follow {
            Some(_) => self.run.follow_most,
            None => 0,
        }
    }

    /// Name of the input in a summary.
    pub(super) fn input_name(&self) -> String {
        match &self.source {
            Source::File(path) => path.display().to_string(),
            Source::Stdin => "standard input".to_owned(),
            Source::Range(..) => "a range of URLs".to_owned(),
        }
    }

    /// Name of the output in a summary.
    pub(super) fn output_name(&self) -> String {
        match &self.output {
            Output::File(path) => path.display().to_string(),
            Output::Stdout => "standard output".to_owned(),
        }
    }
}
