//! Going on with an output: what it has is read, the input is checked to be the same, and only then
//! is anything of it changed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::bodies::Bodies;
use super::done::{DoneItems, PAGE};
use super::file::{folder_of, lock, sync_folder};
use super::format::{FRAME, Format, Framer};
use super::found::{Found, read};
use super::scan::{Seen, scan};
use super::writer::{Journal, Options};
use crate::Source;
use crate::error::BatchError;
use crate::line::url_of;

/// An output that was begun by an earlier run.
pub struct Resume {
    path: PathBuf,
    file: File,
    format: Format,
    retry: bool,
    done: DoneItems,
    found: Found,
}

impl Resume {
    /// Reads an output, all of it once. Creates one if there is none, because the earlier run may have ended before
    /// its first line. With `retry_failed`, items that failed are not done, and there must be an output.
    ///
    /// Chains of pages are continued up to page number `most`; 0 if no pages are followed. Each chain that is not at
    /// its end takes the length of its URL in memory.
    ///
    /// # Errors
    /// If the output cannot be read and written, is not a file, is not an output of a batch, is damaged, or is being
    /// written by another run.
    pub fn open(path: &Path, retry_failed: bool, most: u32) -> Result<Self, BatchError> {
        let failed = |error| {
            let remedy = "give the output of the run that is to go on";
            BatchError::output(path, "cannot be resumed", &error, remedy)
        };
        let mut how = OpenOptions::new();
        let how = how
            .read(true)
            .write(true)
            .create(!retry_failed)
            .truncate(false);
        let file = how.open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(BatchError::new(format!(
                "the output {} is not a file, so nothing is left of it to resume from: start anew",
                path.display()
            )));
        }
        lock(&file, path)?;
        let len = file.metadata().map_err(failed)?.len();
        let format = Format::of(path);
        let done = DoneItems::following(most);
        let (done, found) = read(&file, len, format, path, (done, retry_failed))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            format,
            retry: retry_failed,
            done,
            found,
        })
    }

    /// The content of the output.
    #[must_use]
    pub fn found(&self) -> Found {
        self.found
    }

    /// Checks that the input is the one that the output is of, as far as it was fetched: reads it
    /// once up to there, and the output once more if it is not. Costs a page of fingerprints, 32 KiB.
    ///
    /// # Errors
    /// If it is not, with the first item that differs; or if it cannot be read.
    pub fn check(&self, source: &Source) -> Result<(), BatchError> {
        source.must_be_repeatable("cannot be resumed from; start the run again")?;
        let Some(highest) = self.done.highest() else {
            return Ok(());
        };
        let mut page = Vec::with_capacity(PAGE as usize);
        let mut number = 0;
        let mut same = true;
        source.fingerprints(|fingerprint| {
            page.push(fingerprint);
            let last = number * PAGE + page.len() as u64 > highest;
            if page.len() as u64 == PAGE || last {
                same = self.done.page_is_of(number, &page);
                if same && !last {
                    number += 1;
                    page.clear();
                }
            }
            same && !last
        })?;
        let read = number * PAGE + page.len() as u64;
        if same && read <= highest {
            same = self.done.page_is_of(number, &page);
            if same {
                // The pages that follow have lines, and the input has nothing for them.
                return Err(self.differs(source, highest, None));
            }
        }
        if same {
            return Ok(());
        }
        let found = self.first_difference(number, &page)?;
        Err(self.differs(source, found.0, found.1))
    }

    /// The first item of a page whose line is of another item than the input's.
    fn first_difference(
        &self,
        number: u64,
        page: &[u64],
    ) -> Result<(u64, Option<String>), BatchError> {
        let mut first: Option<(u64, Option<String>)> = None;
        let len = self.found.whole + self.found.torn;
        let mut see = |seen: Seen<'_>| {
            if let Seen::Line(line, record) = seen
                && record.depth == 0
                && record.index / PAGE == number
                && page.get((record.index % PAGE) as usize) != Some(&record.fingerprint)
                && first
                    .as_ref()
                    .is_none_or(|(index, _)| *index > record.index)
            {
                first = Some((record.index, url_of(line)));
            }
            Ok(())
        };
        let again = rewound(&self.file).map_err(|error| self.failed(&error))?;
        scan(again, len, self.format, &self.path, &mut see)?;
        Ok(first.unwrap_or((number * PAGE, None)))
    }

    fn differs(&self, source: &Source, index: u64, url: Option<String>) -> BatchError {
        let (input, output) = (source.name(), self.path.display());
        let was = url.map_or_else(String::new, |url| format!(" (fetched as {url})"));
        BatchError::new(format!(
            "the input {input} is not the one that the output {output} is of: item {index}{was} is \
             another now, or gone; give the input as it was, or begin another output"
        ))
    }

    /// Goes on: cuts off what is torn, or with failures to retry replaces the file by one without
    /// them, at once and on disk. Returns what need not be fetched again.
    ///
    /// # Errors
    /// If it cannot be written; then the file is as it was, or without the lines of a frame that was not ended,
    /// which are fetched again. If the order is to be kept though the lines that there are have none, or while
    /// failures are retried, since their lines would come last.
    pub fn start(mut self, options: Options) -> Result<(Journal, DoneItems), BatchError> {
        if self.retry && options.ordered.is_some() {
            return Err(BatchError::new(
                "items that failed cannot be retried in input order, because their lines come last: retry them \
                 without it",
            ));
        }
        if self.found.unordered && options.ordered.is_some() {
            return Err(BatchError::new(format!(
                "the output {} is not in input order, so it cannot be continued in order: resume without it",
                self.path.display()
            )));
        }
        if let Some(bodies) = &options.bodies {
            // Nothing may fail any more once the output is cut.
            Bodies::new(bodies, options.sync)?;
        }
        let open = self.open_lines()?;
        let whole = if self.found.again > 0 {
            let (file, whole) = self
                .without_failures()
                .map_err(|error| self.failed(&error))??;
            self.file = file;
            whole
        } else {
            self.cut(options.sync)
                .map_err(|error| self.failed(&error))?;
            self.found.whole
        };
        let mut file = self.file;
        let at_end = file.seek(SeekFrom::Start(whole));
        at_end.map_err(|error| {
            BatchError::output(&self.path, "cannot be continued", &error, "try again")
        })?;
        let mut journal = Journal::append(file, &self.path, whole, options)?;
        if !open.is_empty() {
            journal.write_again(&open)?;
        }
        Ok((journal, self.done))
    }

    /// The lines of the frame that was not ended, but for failures that are fetched again.
    fn open_lines(&self) -> Result<Vec<u8>, BatchError> {
        let (mut lines, mut left) = (Vec::new(), self.found.open);
        if left == 0 {
            return Ok(lines);
        }
        let mut see = |seen: Seen<'_>| {
            if let Seen::Line(line, record) = seen
                && left > 0
            {
                left -= 1;
                if !(self.retry && self.done.is_retried(&record)) {
                    lines.extend_from_slice(line);
                    lines.push(b'\n');
                }
            }
            Ok(())
        };
        let found = self.found;
        let mut file = &self.file;
        let at = file.seek(SeekFrom::Start(found.whole));
        at.map_err(|error| self.failed(&error))?;
        scan(file, found.torn, self.format, &self.path, &mut see)?;
        Ok(lines)
    }

    fn failed(&self, error: &io::Error) -> BatchError {
        BatchError::output(
            &self.path,
            "cannot be continued",
            error,
            "correct that and resume",
        )
    }

    fn cut(&self, sync: bool) -> io::Result<()> {
        if self.found.torn > 0 {
            self.file.set_len(self.found.whole)?;
        }
        if sync {
            self.file.sync_all()?;
            sync_folder(folder_of(&self.path))?;
        }
        Ok(())
    }

    /// A file beside the output gets its lines but the failures', and then its name.
    fn without_failures(&self) -> io::Result<Result<(File, u64), BatchError>> {
        // Where a link leads to, not the link, is what is replaced.
        let path = self.path.canonicalize()?;
        let mut name = path.clone().into_os_string();
        name.push(".retry");
        let beside = PathBuf::from(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&beside)?;
        if let Err(error) = lock(&file, &beside) {
            // It is the output of another run, and stays.
            return Ok(Err(error));
        }
        file.set_len(0)?;
        let copied = self.copy(&file);
        let copied = match copied {
            Ok(bytes) => file
                .sync_all()
                .and_then(|()| fs::set_permissions(&beside, self.file.metadata()?.permissions()))
                .and_then(|()| fs::rename(&beside, &path))
                .and_then(|()| sync_folder(folder_of(&path)))
                .map(|()| Ok((file, bytes))),
            Err(error) => Ok(Err(error)),
        };
        if !matches!(copied, Ok(Ok(_))) {
            // It is of no use; if it stays, the next try overwrites it.
            let _left = fs::remove_file(&beside);
        }
        copied
    }

    fn copy(&self, to: &File) -> Result<u64, BatchError> {
        let mut framer = Framer::new(self.format).map_err(|error| self.failed(&error))?;
        let (mut to, mut bytes) = (BufWriter::new(to), 0);
        let mut lines = Vec::new();
        let mut see = |seen: Seen<'_>| {
            let mut write = |lines: &mut Vec<u8>| {
                let frame = framer.add(lines, true)?;
                bytes += frame.len() as u64;
                to.write_all(frame)?;
                lines.clear();
                Ok(())
            };
            match seen {
                Seen::Line(line, record) if !self.done.is_retried(&record) => {
                    lines.extend_from_slice(line);
                    lines.push(b'\n');
                }
                Seen::Line(..) | Seen::Open(_) => {}
                Seen::Whole if lines.len() < FRAME => {}
                Seen::Whole => write(&mut lines).map_err(|error| self.failed(&error))?,
            }
            Ok(())
        };
        let from = rewound(&self.file).map_err(|error| self.failed(&error))?;
        scan(from, self.found.whole, self.format, &self.path, &mut see)?;
        if !lines.is_empty() {
            let written = framer.add(&lines, true).and_then(|frame| {
                bytes += frame.len() as u64;
                to.write_all(frame)
            });
            written.map_err(|error| self.failed(&error))?;
        }
        to.flush().map_err(|error| self.failed(&error))?;
        Ok(bytes)
    }
}

fn rewound(mut file: &File) -> io::Result<&File> {
    file.rewind()?;
    Ok(file)
}
