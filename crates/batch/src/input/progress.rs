//! How much of an input has been read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The progress of an input: bytes of the file as it is stored, or items of a range. Clones share it.
#[derive(Clone, Debug)]
pub struct InputProgress {
    pub(super) read: Arc<AtomicU64>,
    pub(super) total: Option<u64>,
    /// Set if `total` counts items, not bytes.
    pub(super) of_items: bool,
    pub(super) items: Arc<AtomicU64>,
    pub(super) ended: Arc<AtomicBool>,
}

/// The number of items of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Not known.
    Unknown,
    /// An estimate: the rest of a file is assumed to be like the part that was read.
    Guess(u64),
    /// The exact number.
    Known(u64),
}

impl InputProgress {
    /// Bytes or items read so far.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Total number of bytes or items, if known: for a range and for a regular file.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// The total number of items.
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

    pub(super) fn add(&self, by: u64) {
        self.read.fetch_add(by, Ordering::Relaxed);
    }
}
