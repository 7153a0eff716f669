//! The error of an output.

use std::fmt;
use std::io;
use std::path::Path;

/// The output cannot be written, or cannot be resumed from; in one sentence.
#[derive(Debug)]
pub struct JournalError {
    message: String,
    cause: Option<io::Error>,
}

impl JournalError {
    pub(super) fn new(message: String) -> Self {
        Self {
            message,
            cause: None,
        }
    }

    /// Returns an error with the text "The output PATH `cannot`: CAUSE; `remedy`."
    pub(super) fn at(path: &Path, cannot: &str, cause: io::Error, remedy: &str) -> Self {
        let path = path.display();
        let message = format!("The output {path} {cannot}: {cause}; {remedy}.");
        Self::with_cause(message, cause)
    }

    pub(super) fn with_cause(message: String, cause: io::Error) -> Self {
        Self {
            message,
            cause: Some(cause),
        }
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The message contains the text of the cause, so only the source of the cause is added.
        self.cause.as_ref().and_then(|cause| cause.source())
    }
}
