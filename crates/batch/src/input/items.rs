//! The items of an input, one by one.

use std::io::{self, BufRead};
use std::sync::atomic::Ordering;

use super::lines::{Line, Lines};
use super::parse::{self, Place};
use super::progress::InputProgress;
use super::template::Template;
use crate::Item;
use crate::error::BatchError;

/// The items of an input, one by one. A line that is not a valid request is an item whose request is an
/// error; the caller decides whether to skip or to record it.
///
/// Ends after its first error. Reading blocks.
pub struct Input {
    pub(super) name: String,
    pub(super) progress: InputProgress,
    pub(super) from: From,
    /// Number of items so far.
    pub(super) index: u64,
    /// Number of lines so far.
    pub(super) line: u64,
    pub(super) ended: bool,
}

pub(super) enum From {
    Lines(Lines<Box<dyn BufRead + Send>>),
    Range {
        template: Template,
        /// The next number and the last one.
        left: Option<(u64, u64)>,
        text: String,
    },
}

/// Line of one item, without white space around it; `None` if it is too long.
pub(super) type Text<'a> = (Place, Option<&'a [u8]>);

impl Input {
    /// Returns the progress of the input, which can be read while another thread reads the input.
    #[must_use]
    pub fn progress(&self) -> InputProgress {
        self.progress.clone()
    }

    /// Reads the line of the next item, unparsed. Blank lines are not items.
    pub(super) fn next_text(&mut self) -> Result<Option<Text<'_>>, BatchError> {
        let index = self.index;
        match &mut self.from {
            From::Range {
                template,
                left,
                text,
            } => {
                let Some((number, last)) = *left else {
                    return Ok(None);
                };
                *left = (number < last).then(|| (number + 1, last));
                *text = template.at(number);
                self.progress.add(1);
                self.index += 1;
                let place = Place { index, line: None };
                Ok(Some((place, Some(text.as_bytes()))))
            }
            From::Lines(lines) => {
                let found = next_item(lines, &mut self.line).map_err(|error| {
                    let (what, line) = (&self.name, self.line + 1);
                    BatchError::new(format!(
                        "the input {what} cannot be read on from line {line}: {error}; correct that and resume"
                    ))
                })?;
                let total = self.progress.total();
                if !found && total.is_some_and(|total| total > self.progress.read()) {
                    let (what, line) = (&self.name, self.line);
                    return Err(BatchError::new(format!(
                        "the input {what} became shorter while it was read: it ends after line {line} now; \
                         correct that and resume"
                    )));
                }
                self.index += u64::from(found);
                let place = Place {
                    index,
                    line: Some(self.line),
                };
                let line = lines.last().map(|line| trimmed(line, self.line));
                Ok(found.then_some((place, line)))
            }
        }
    }
}

impl Iterator for Input {
    type Item = Result<Item, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = match self.next_text() {
            Ok(text) => text.map(|(place, line)| Ok(parse::item(place, line))),
            Err(error) => Some(Err(error)),
        };
        match &item {
            Some(Ok(_)) => {
                self.progress.items.fetch_add(1, Ordering::Relaxed);
            }
            Some(Err(_)) => self.ended = true,
            None => {
                self.ended = true;
                self.progress.ended.store(true, Ordering::Release);
            }
        }
        item
    }
}

/// Returns the line without white space around it.
pub(super) fn trimmed(line: &[u8], number: u64) -> &[u8] {
    // Some editors begin a file with a byte order mark.
    let line = match line {
        [0xef, 0xbb, 0xbf, rest @ ..] if number == 1 => rest,
        line => line,
    };
    line.trim_ascii()
}

/// Reads until the last line read is an item. Counts lines in `number`. Returns false at the end.
fn next_item(lines: &mut Lines<Box<dyn BufRead + Send>>, number: &mut u64) -> io::Result<bool> {
    while let Some(line) = lines.next()? {
        *number += 1;
        match line {
            Line::Whole(line) | Line::Unended(line) if trimmed(line, *number).is_empty() => {}
            Line::Whole(_) | Line::Unended(_) | Line::TooLong => return Ok(true),
        }
    }
    Ok(false)
}
