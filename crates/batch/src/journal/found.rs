//! Reads the output of an earlier run.

use std::io::Read;
use std::path::Path;

use super::done::DoneItems;
use super::format::Format;
use super::scan::{Seen, scan};
use crate::error::BatchError;
use crate::line::Record;

/// The content of an output that an earlier run has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Number of complete lines.
    pub lines: u64,
    /// Number of these lines that are failures.
    pub failed: u64,
    /// Number of the failures that will be fetched again.
    pub again: u64,
    /// Number of the lines that are of followed pages.
    pub pages: u64,
    /// Number of items whose last line names a next page, which will be fetched.
    pub to_come: u64,
    /// Number of bytes of the file up to the end of its last complete frame.
    pub whole: u64,
    /// Number of bytes after these. Incomplete lines among them are cut off.
    pub torn: u64,
    /// Number of complete lines in an unfinished frame. They are part of `lines`, and are written again.
    pub open: u64,
    /// Set if a line comes after the line of a later item.
    pub unordered: bool,
}

impl Found {
    /// Reads an output of `len` bytes without resuming from it. Errors call the output `name`.
    ///
    /// # Errors
    /// The output cannot be read, is not an output of a batch, or is damaged.
    pub fn of(from: impl Read, len: u64, format: Format, name: &Path) -> Result<Self, BatchError> {
        let done = DoneItems::following(u32::MAX);
        read(from, len, format, name, (done, false)).map(|(_, found)| found)
    }
}

/// Reads an output, and enters its items in `done`. With `retry`, failures are fetched again.
pub(super) fn read(
    from: impl Read,
    len: u64,
    format: Format,
    path: &Path,
    (mut done, retry): (DoneItems, bool),
) -> Result<(DoneItems, Found), BatchError> {
    let (mut found, mut highest) = (Found::default(), 0);
    let mut pending: Vec<Record> = Vec::new();
    let mut see = |seen: Seen<'_>| {
        match seen {
            Seen::Line(_, record) => {
                pending.push(record);
                return Ok(());
            }
            Seen::Whole => {}
            Seen::Open(lines) => {
                pending.truncate(usize::try_from(lines).unwrap_or(usize::MAX));
                found.open = lines;
            }
        }
        for record in pending.drain(..) {
            let (index, depth) = (record.index, record.depth);
            let again = retry && done.is_retried(&record);
            found.unordered |= index < highest;
            highest = highest.max(index);
            found.lines += 1;
            found.pages += u64::from(depth > 0);
            found.failed += u64::from(record.failed);
            found.again += u64::from(again);
            if !done.enter(record, again) {
                let path = path.display();
                return Err(BatchError::new(match depth {
                    0 => format!(
                        "the output {path} has two lines for item {index}: remove one, then resume"
                    ),
                    _ => format!(
                        "the output {path} has a line for page {depth} of item {index} that is there \
                         twice, or comes before the line that names the page: remove it, then resume"
                    ),
                }));
            }
        }
        Ok(())
    };
    let whole = scan(from, len, format, path, &mut see)?;
    found.whole = whole;
    found.torn = len - whole;
    found.to_come = done.to_come();
    Ok((done, found))
}
