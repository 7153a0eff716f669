//! The items of an input.

use std::sync::atomic::Ordering;

use super::error::InputError;
use super::parse;
use super::progress::InputProgress;
use super::source::{Raw, Source, Text};
use crate::Item;

impl Source {
    /// Opens the input.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn open(&self) -> Result<Input, InputError> {
        self.raw().map(Input::new)
    }
}

/// The items of an input, one by one. A line that is not a valid request is an item whose request is an
/// error; the caller decides whether to skip or to record it.
///
/// Ends after its first error. Reading blocks.
pub struct Input {
    raw: Raw,
    progress: InputProgress,
    ended: bool,
}

impl Input {
    fn new(raw: Raw) -> Self {
        Self {
            progress: raw.progress(),
            raw,
            ended: false,
        }
    }

    /// Returns the progress of the input, which can be read while another thread reads the input.
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
