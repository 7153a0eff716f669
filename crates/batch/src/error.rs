//! The error of a run.

use std::io;
use std::path::Path;

/// Reason why a run cannot begin, or ended before all items were done. The text says what happened, to what, and
/// what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BatchError(String);

impl BatchError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// Returns an error with the text "the output PATH `cannot`: CAUSE; `remedy`".
    pub(crate) fn output(path: &Path, cannot: &str, cause: &io::Error, remedy: &str) -> Self {
        let path = path.display();
        Self(format!("the output {path} {cannot}: {cause}; {remedy}"))
    }
}
