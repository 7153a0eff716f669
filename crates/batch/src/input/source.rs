//! Opening an input, undoing its compression, and counting what is read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::error::InputError;
use super::lines::{Line, Lines};
use super::parse::{self, MAX_LINE, Place};
use super::progress::InputProgress;
use super::template::{Range, Template};
use crate::fingerprint::fingerprint;

/// Bytes read at a time, of a file and of what it decompresses to.
const BUFFER: usize = 128 << 10;

/// Where items come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file, plain, gzip or zstd: told by its first bytes.
    File(PathBuf),
    /// Standard input, likewise. It can be read only once.
    Stdin,
    /// A URL for each number.
    Range(Template, Range),
}

impl Source {
    /// Reads all of it, so that a bad line is known before the first fetch. Returns the count of
    /// items.
    ///
    /// # Errors
    /// The first bad line, if the source cannot be read twice, or if it cannot be read.
    pub fn check(&self) -> Result<u64, InputError> {
        self.must_be_repeatable(
            "cannot be checked before the first fetch; have bad lines skipped or recorded",
        )?;
        let mut raw = self.raw()?;
        let mut count = 0;
        while let Some(Text { place, line }) = raw.next()? {
            if let Err(error) = parse::item(place, line).request {
                let what = self.name();
                return Err(InputError::new(format!(
                    "The input {what} has a bad line, so nothing was fetched. {}",
                    error.detail
                )));
            }
            count += 1;
        }
        Ok(count)
    }

    /// # Errors
    /// If it is standard input, a pipe or the like: then what of it `cannot` be done.
    pub(crate) fn must_be_repeatable(&self, cannot: &str) -> Result<(), InputError> {
        let repeatable = match self {
            Self::Stdin => false,
            // One that is not there is for whoever opens it to tell.
            Self::File(path) => path.metadata().map_or(true, |it| it.is_file()),
            Self::Range(..) => true,
        };
        if repeatable {
            return Ok(());
        }
        let what = self.name();
        Err(InputError::new(format!(
            "The input {what} can be read only once, so it {cannot}, or give a file."
        )))
    }

    /// Calls `see` with the fingerprint of each item in turn until it returns false. Nothing is
    /// parsed.
    pub(crate) fn fingerprints(&self, mut see: impl FnMut(u64) -> bool) -> Result<(), InputError> {
        let mut raw = self.raw()?;
        while let Some(Text { line, .. }) = raw.next()? {
            if !see(line.map_or(0, fingerprint)) {
                break;
            }
        }
        Ok(())
    }

    /// The name of the input in errors.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
            Self::Range(..) => "range".to_owned(),
        }
    }

    pub(super) fn raw(&self) -> Result<Raw, InputError> {
        let cannot = |error: io::Error| {
            let what = self.name();
            let says =
                format!("The input {what} cannot be read: {error}; correct that, or give another.");
            InputError::io(says, error)
        };
        let (reader, total): (Box<dyn BufRead + Send>, Option<u64>) = match self {
            Self::Range(template, range) => {
                return Ok(Raw {
                    name: self.name(),
                    progress: progress(Some(range.count()), true),
                    from: From::Range {
                        template: template.clone(),
                        left: Some((range.first, range.last)),
                        text: String::new(),
                    },
                    index: 0,
                    line: 0,
                });
            }
            Self::File(path) => {
                let file = File::open(path).map_err(cannot)?;
                let metadata = file.metadata().map_err(cannot)?;
                let total = metadata.is_file().then_some(metadata.len());
                (Box::new(BufReader::with_capacity(BUFFER, file)), total)
            }
            Self::Stdin => (
                Box::new(BufReader::with_capacity(BUFFER, io::stdin())),
                None,
            ),
        };
        let progress = progress(total, false);
        let counted = Counted {
            reader,
            progress: progress.clone(),
        };
        Ok(Raw {
            name: self.name(),
            progress,
            from: From::Lines(Lines::new(decoded(counted).map_err(cannot)?, MAX_LINE)),
            index: 0,
            line: 0,
        })
    }
}

fn progress(total: Option<u64>, of_items: bool) -> InputProgress {
    InputProgress {
        read: Arc::default(),
        total,
        of_items,
        items: Arc::default(),
        ended: Arc::default(),
    }
}

/// Undoes gzip (RFC 1952) and zstd (RFC 8878), of any number of members or frames. No URL and no
/// JSON begins like either.
fn decoded(mut reader: Counted) -> io::Result<Box<dyn BufRead + Send>> {
    let start = loop {
        match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    Ok(match start {
        [0x1f, 0x8b, ..] => {
            let decoder = MultiGzDecoder::new(reader);
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        }
        // A frame, or a skippable one, as some tools put first.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            let decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        }
        _ => Box::new(reader),
    })
}

/// Counts what is taken from the file.
struct Counted {
    reader: Box<dyn BufRead + Send>,
    progress: InputProgress,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.progress.add(read as u64);
        Ok(read)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.progress.add(amount as u64);
        self.reader.consume(amount);
    }
}

/// The lines that are items, unparsed.
pub(crate) struct Raw {
    name: String,
    progress: InputProgress,
    from: From,
    index: u64,
    line: u64,
}

enum From {
    Lines(Lines<Box<dyn BufRead + Send>>),
    Range {
        template: Template,
        left: Option<(u64, u64)>,
        text: String,
    },
}

/// One item's line; `None` if it is too long.
pub(crate) struct Text<'a> {
    pub(crate) place: Place,
    pub(crate) line: Option<&'a [u8]>,
}

impl Raw {
    pub(crate) fn progress(&self) -> InputProgress {
        self.progress.clone()
    }

    /// The next item's line, without white space around it. Blank lines are no items.
    pub(crate) fn next(&mut self) -> Result<Option<Text<'_>>, InputError> {
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
                Ok(Some(Text {
                    place,
                    line: Some(text.as_bytes()),
                }))
            }
            From::Lines(lines) => {
                let found = next_item(lines, &mut self.line).map_err(|error| {
                    let (what, line) = (&self.name, self.line + 1);
                    let says = format!(
                        "The input {what} cannot be read on from line {line}: {error}; correct that \
                         and resume."
                    );
                    InputError::io(says, error)
                })?;
                if !found
                    && self
                        .progress
                        .total()
                        .is_some_and(|it| it > self.progress.read())
                {
                    let (what, line) = (&self.name, self.line);
                    return Err(InputError::new(format!(
                        "The input {what} became shorter while it was read: it ends after line {line} \
                         now; correct that and resume."
                    )));
                }
                self.index += u64::from(found);
                let place = Place {
                    index,
                    line: Some(self.line),
                };
                Ok(found.then(|| Text {
                    place,
                    line: lines.last().map(|line| trimmed(line, self.line)),
                }))
            }
        }
    }
}

/// The line without white space around it.
pub(super) fn trimmed(line: &[u8], number: u64) -> &[u8] {
    // Some editors begin a file with a byte order mark.
    let line = match line {
        [0xef, 0xbb, 0xbf, rest @ ..] if number == 1 => rest,
        line => line,
    };
    line.trim_ascii()
}

/// Reads until a line that is an item is the lines' last. Counts lines in `number`.
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
