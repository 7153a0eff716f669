//! Errors with which a run cannot begin.

use std::error::Error;
use std::path::PathBuf;
use std::{fmt, io};

use crate::input::InputError;
use crate::journal::JournalError;

/// Reason why a run cannot begin or end as it should.
#[derive(Debug)]
pub enum FileRunError {
    /// The input cannot be read, or is not that of the earlier run.
    Input(InputError),
    /// The output cannot be written or resumed.
    Output(JournalError),
    /// Standard output cannot be resumed.
    ResumeFromStdout,
    /// The file for the times of requests cannot be written.
    DispatchLog(PathBuf, io::Error),
    /// A thread with this name cannot be started.
    Thread(&'static str, io::Error),
    /// The thread that writes the output has panicked.
    OutputPanicked,
}

impl fmt::Display for FileRunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => error.fmt(f),
            Self::Output(error) => error.fmt(f),
            Self::ResumeFromStdout => f.write_str(
                "standard output can't be read back, so it can't be resumed: name a file",
            ),
            Self::DispatchLog(path, error) => {
                let path = path.display();
                write!(f, "the dispatch log {path} can't be written: {error}")
            }
            Self::Thread(name, error) => {
                write!(f, "the thread for the {name} can't be started: {error}")
            }
            Self::OutputPanicked => {
                f.write_str("the thread for the output has panicked; the output can be resumed")
            }
        }
    }
}

impl Error for FileRunError {}

impl From<InputError> for FileRunError {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

impl From<JournalError> for FileRunError {
    fn from(error: JournalError) -> Self {
        Self::Output(error)
    }
}
