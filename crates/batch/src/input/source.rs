//! Opening an input, undoing its compression, and counting what is read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::items::{From, Input};
use super::lines::Lines;
use super::parse::MAX_LINE;
use super::progress::InputProgress;
use super::template::{Range, Template};
use crate::error::BatchError;
use crate::fingerprint::fingerprint;

/// Bytes read at a time, of a file and of what it decompresses to.
const BUFFER: usize = 128 << 10;

/// Where items come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file: plain, gzip or zstd, as its first bytes show.
    File(PathBuf),
    /// Standard input, likewise. It can be read only once.
    Stdin,
    /// A URL for each number.
    Range(Template, Range),
}

impl Source {
    /// Reads the whole input, so that a bad line is known before the first fetch. Returns the number of items.
    ///
    /// # Errors
    /// If the input cannot be read, can be read only once, or has a bad line: the first one.
    pub fn check(&self) -> Result<u64, BatchError> {
        self.must_be_repeatable(
            "cannot be checked before the first fetch; have bad lines skipped or recorded",
        )?;
        let mut count = 0;
        for item in self.open()? {
            if let Err(error) = item?.request {
                let (what, detail) = (self.name(), error.detail);
                return Err(BatchError::new(format!(
                    "the input {what} has a bad line, so nothing was fetched. {detail}"
                )));
            }
            count += 1;
        }
        Ok(count)
    }

    /// Refuses standard input, a pipe or the like. The error tells what `cannot` be done with it.
    pub(crate) fn must_be_repeatable(&self, cannot: &str) -> Result<(), BatchError> {
        let repeatable = match self {
            Self::Stdin => false,
            // A missing file is reported when it is opened.
            Self::File(path) => path.metadata().map_or(true, |it| it.is_file()),
            Self::Range(..) => true,
        };
        if repeatable {
            return Ok(());
        }
        let what = self.name();
        Err(BatchError::new(format!(
            "the input {what} can be read only once, so it {cannot}, or give a file"
        )))
    }

    /// Calls `see` with the fingerprint of each item in turn until it returns false. Nothing is
    /// parsed.
    pub(crate) fn fingerprints(&self, mut see: impl FnMut(u64) -> bool) -> Result<(), BatchError> {
        let mut input = self.open()?;
        while let Some((_, line)) = input.next_text()? {
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

    /// Opens the input.
    ///
    /// # Errors
    /// If the file cannot be opened or read.
    pub fn open(&self) -> Result<Input, BatchError> {
        let cannot = |error: io::Error| {
            let what = self.name();
            BatchError::new(format!(
                "the input {what} cannot be read: {error}; correct that, or give another"
            ))
        };
        let (reader, total): (Box<dyn BufRead + Send>, Option<u64>) = match self {
            Self::Range(template, range) => {
                let from = From::Range {
                    template: template.clone(),
                    left: Some((range.first, range.last)),
                    text: String::new(),
                };
                return Ok(self.input(progress(Some(range.count()), true), from));
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
        let lines = Lines::new(decoded(counted).map_err(cannot)?, MAX_LINE);
        Ok(self.input(progress, From::Lines(lines)))
    }

    fn input(&self, progress: InputProgress, from: From) -> Input {
        Input {
            name: self.name(),
            progress,
            from,
            index: 0,
            line: 0,
            ended: false,
        }
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
