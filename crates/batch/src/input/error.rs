//! The error of an input.

use std::fmt;
use std::io;

/// The input cannot be read, or is not what it should be; in one sentence.
#[derive(Debug)]
pub struct InputError {
    message: String,
    cause: Option<io::Error>,
}

impl InputError {
    pub(crate) fn new(message: String) -> Self {
        Self {
            message,
            cause: None,
        }
    }

    pub(crate) fn io(message: String, cause: io::Error) -> Self {
        Self {
            message,
            cause: Some(cause),
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for InputError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The message contains the text of the cause, so only the source of the cause is added.
        self.cause.as_ref().and_then(|cause| cause.source())
    }
}
