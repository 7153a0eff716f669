//! The output, which is also the journal: after a crash it alone says what is done.
//!
//! `writer` appends lines in whole writes, `format` is their compression, `bodies` the files beside
//! it, `window` what is held back for the order, `lock` keeps other runs off; `scan` reads an output, `done` is what it found, with `chains`,
//! `resume` goes on from there.

mod bodies;
mod chains;
mod done;
mod format;
mod lock;
mod resume;
mod scan;
mod window;
mod writer;

use std::fmt;
use std::io;
use std::path::Path;

pub use done::DoneItems;
pub use format::Format;
pub use resume::{Found, Resume};
pub use window::Window;
pub use writer::{Journal, Options, Written};

/// The output cannot be written, or what stands in it cannot be gone on from; in one sentence.
#[derive(Debug)]
pub struct JournalError {
    message: String,
    cause: Option<io::Error>,
}

impl JournalError {
    fn new(message: String) -> Self {
        Self {
            message,
            cause: None,
        }
    }

    /// "The output PATH `cannot`: CAUSE; `remedy`."
    fn at(path: &Path, cannot: &str, cause: io::Error, remedy: &str) -> Self {
        let path = path.display();
        Self {
            message: format!("The output {path} {cannot}: {cause}; {remedy}."),
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
        // The message has what the cause says: only what lies beneath is news.
        self.cause.as_ref().and_then(|cause| cause.source())
    }
}
