//! Where items come from: a file, standard input, or a template with a range.
//!
//! `source` opens them, `lines` cuts them into lines, `template` makes URLs of numbers, `parse` makes
//! an item of a line. All of it streams: what is held is one line. `feed` is for lines that come by
//! themselves, in pieces.

mod feed;
pub(crate) mod lines;
mod parse;
mod source;
mod template;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use feed::Feed;
pub use parse::MAX_LINE;
pub use source::Source;
pub use template::{Range, Template};

use crate::Item;
use source::{Raw, Text};

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
        // The message has what the cause says: only what lies beneath is news.
        self.cause.as_ref().and_then(|cause| cause.source())
    }
}

/// The items of an input, one by one. A line that is no request is an item whose request is an
/// error: whether it is skipped or recorded is the caller's choice.
///
/// Ends after its first error. Reading blocks.
pub struct Input {
    raw: Raw,
    progress: InputProgress,
    ended: bool,
}

impl Input {
    pub(crate) fn new(raw: Raw) -> Self {
        Self {
            progress: raw.progress(),
            raw,
            ended: false,
        }
    }

    /// How far it has been read; may be kept and asked while the input is read elsewhere.
    #[must_use]
    pub fn progress(&self) -> InputProgress {
        self.progress.clone()
    }
}

impl Iterator for Input {
    type Item = Result<Item, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = match self.raw.next() {
            Ok(Some(Text { place, line })) => {
                self.progress.items.fetch_add(1, Ordering::Relaxed);
                Ok(parse::item(place, line))
            }
            Ok(None) => {
                self.ended = true;
                self.progress.ended.store(true, Ordering::Release);
                return None;
            }
            Err(error) => {
                self.ended = true;
                Err(error)
            }
        };
        Some(item)
    }
}

/// How much of an input has been read: bytes of the file as it is stored, or items of a range.
#[derive(Clone, Debug)]
pub struct InputProgress {
    read: Arc<AtomicU64>,
    total: Option<u64>,
    /// `total` is of items.
    of_items: bool,
    items: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

/// How many items an input has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Nothing can be told.
    Unknown,
    /// About so many: the rest of a file is taken to be like what was read of it.
    Guess(u64),
    /// So many.
    Known(u64),
}

impl InputProgress {
    /// Read so far.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// All of it, as far as known: of a range and of a regular file.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// How many items there are in all.
    #[must_use]
    pub fn items(&self) -> Count {
        if self.ended.load(Ordering::Acquire) {
            return Count::Known(self.items.load(Ordering::Relaxed));
        }
        let items = self.items.load(Ordering::Relaxed);
        match self.total {
            Some(total) if self.of_items => Count::Known(total),
            Some(total) if items > 0 => {
                let guess = items as f64 * total as f64 / self.read().max(1) as f64;
                Count::Guess(guess as u64)
            }
            Some(_) | None => Count::Unknown,
        }
    }

    fn add(&self, by: u64) {
        self.read.fetch_add(by, Ordering::Relaxed);
    }
}
