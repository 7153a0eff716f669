//! Appends lines to the output: encoded into one buffer, compressed if so asked, written together.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::BytesMut;

use super::bodies::Bodies;
use super::file::{folder_of, lock, sync_folder};
use super::format::{FRAME, Format, Framer};
use super::window::Window;
use crate::Outcome;
use crate::error::BatchError;
use crate::line::{LineBody, encode};

/// How an output is written.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Response bodies go into files beneath this folder; empty ones stay in their line.
    pub bodies: Option<PathBuf>,
    /// A flush puts everything on disk: covers the loss of power, not just of the process.
    pub sync: bool,
    /// Lines are to stand in the order of the input, by this window.
    pub ordered: Option<Window>,
}

/// An output that is being written. What was written but not flushed is lost in a crash, and is
/// fetched again by who resumes.
pub struct Journal {
    to: To,
    framer: Framer,
    /// Lines that are not written yet.
    buffer: BytesMut,
    /// A line whose turn is not known yet.
    line: BytesMut,
    bodies: Option<Bodies>,
    sync: bool,
    ordered: Option<Window>,
    broken: bool,
}

enum To {
    File {
        file: File,
        path: PathBuf,
        /// Bytes in it: whole lines, or frames of which the last may be open.
        whole: u64,
    },
    Stream(Box<dyn Write + Send>),
}

/// The content of a finished output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Lines that were held back for an item that has no outcome, and so not written: the run was
    /// stopped before their turn.
    pub held_back: usize,
}

impl Journal {
    /// Begins a new output; its format is by its name. Something that is no file (a pipe, a device)
    /// is written as it is.
    ///
    /// # Errors
    /// If there is a file already, unless it is empty; if another run is writing it; if it cannot be
    /// created.
    pub fn create(path: &Path, options: Options) -> Result<Self, BatchError> {
        let failed =
            |error| BatchError::output(path, "cannot be created", &error, "choose another");
        let mut how = OpenOptions::new();
        let file = how
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Self::new(To::Stream(Box::new(file)), Format::of(path), options);
        }
        lock(&file, path)?;
        if file.metadata().map_err(failed)?.len() > 0 {
            let path = path.display();
            return Err(BatchError::new(format!(
                "the output {path} exists already: resume it, remove it or choose another"
            )));
        }
        if options.sync {
            let synced = file.sync_all().and_then(|()| sync_folder(folder_of(path)));
            synced.map_err(failed)?;
        }
        Self::append(file, path, 0, options)
    }

    /// Writes to a stream, which cannot be resumed; plain.
    ///
    /// # Errors
    /// If the folder for bodies cannot be made.
    pub fn stream(to: Box<dyn Write + Send>, options: Options) -> Result<Self, BatchError> {
        Self::new(To::Stream(to), Format::Plain, options)
    }

    /// Goes on in a locked file after `whole` bytes, where its cursor is.
    pub(super) fn append(
        file: File,
        path: &Path,
        whole: u64,
        options: Options,
    ) -> Result<Self, BatchError> {
        let path = path.to_owned();
        let format = Format::of(&path);
        Self::new(To::File { file, path, whole }, format, options)
    }

    fn new(to: To, format: Format, options: Options) -> Result<Self, BatchError> {
        let framer = Framer::new(format).map_err(|error| {
            BatchError::new(format!("the compression cannot be set up: {error}"))
        })?;
        let bodies = options.bodies.as_deref();
        let bodies = bodies
            .map(|dir| Bodies::new(dir, options.sync))
            .transpose()?;
        Ok(Self {
            to,
            framer,
            buffer: BytesMut::with_capacity(FRAME + (FRAME >> 2)),
            line: BytesMut::new(),
            bodies,
            sync: options.sync,
            ordered: options.ordered,
            broken: false,
        })
    }

    /// Adds the line of an outcome, and writes its body's file. The line itself is written with
    /// others, once there are 256 KiB of them.
    ///
    /// # Errors
    /// If the body or earlier lines cannot be written.
    pub fn write(&mut self, outcome: &Outcome) -> Result<(), BatchError> {
        let file;
        let body = match outcome.result.as_ref().map(|response| &response.body) {
            Err(_) => LineBody::Inside(b""),
            Ok(bytes) => match &mut self.bodies {
                Some(bodies) if !bytes.is_empty() => {
                    file = bodies.store((outcome.index, outcome.depth), bytes)?;
                    LineBody::File(&file)
                }
                Some(_) | None => LineBody::Inside(bytes),
            },
        };
        if let Some(window) = &self.ordered {
            self.line.clear();
            encode(&mut self.line, outcome, &body);
            window.place(outcome.index, &self.line, &mut self.buffer)?;
            if self.line.capacity() > FRAME {
                self.line = BytesMut::new();
            }
        } else {
            encode(&mut self.buffer, outcome, &body);
        }
        if self.buffer.len() >= FRAME {
            self.write_out(false)?;
        }
        Ok(())
    }

    /// Adds lines that an earlier run has written, in a frame that it did not end.
    pub(super) fn write_again(&mut self, lines: &[u8]) -> Result<(), BatchError> {
        self.buffer.extend_from_slice(lines);
        self.flush()
    }

    /// Writes what there is, and if so told puts it on disk: no crash loses it any more. Compressed,
    /// many lines at once take less room than one by one.
    ///
    /// # Errors
    /// If it cannot be written. The output ends with a whole line then, or is cut to that when it is
    /// resumed.
    pub fn flush(&mut self) -> Result<(), BatchError> {
        self.write_out(false)?;
        self.sync()
    }

    fn sync(&mut self) -> Result<(), BatchError> {
        let done = match &mut self.to {
            To::Stream(to) => to.flush(),
            To::File { file, .. } if self.sync => file.sync_data(),
            To::File { .. } => Ok(()),
        };
        done.map_err(|error| self.failed(&error))
    }

    /// Flushes for the last time, and ends the last frame.
    ///
    /// # Errors
    /// As of [`flush`](Self::flush).
    pub fn finish(mut self) -> Result<Written, BatchError> {
        self.write_out(true)?;
        self.sync()?;
        let window = self.ordered.as_ref();
        Ok(Written {
            held_back: window.map_or(0, Window::held_back),
        })
    }

    fn write_out(&mut self, last: bool) -> Result<(), BatchError> {
        if self.broken {
            return Err(BatchError::new(
                "the output failed before, so nothing more is written to it",
            ));
        }
        if self.buffer.is_empty() && !last {
            return Ok(());
        }
        if self.sync
            && let Some(bodies) = &mut self.bodies
        {
            // A line on disk must not name a file that is not.
            bodies.sync()?;
        }
        // Behind what is on disk, the loss of power may leave anything: not within a frame.
        let coded = self.framer.add(&self.buffer, last || self.sync);
        let written = coded.and_then(|coded| match &mut self.to {
            To::Stream(to) => to.write_all(coded),
            To::File { file, whole, .. } => {
                file.write_all(coded)?;
                *whole += coded.len() as u64;
                Ok(())
            }
        });
        written.map_err(|error| self.failed(&error))?;
        self.buffer.clear();
        // A single line may have been huge.
        if self.buffer.capacity() > 8 * FRAME {
            self.buffer = BytesMut::with_capacity(FRAME + (FRAME >> 2));
        }
        Ok(())
    }

    fn failed(&mut self, error: &io::Error) -> BatchError {
        self.broken = true;
        match &self.to {
            To::Stream(_) => BatchError::new(format!(
                "the output cannot be continued: {error}; correct that and start the run again"
            )),
            To::File { file, path, whole } => {
                // Readers of the file then see whole lines. If this fails, resuming does it.
                let _cut = file.set_len(*whole);
                BatchError::output(
                    path,
                    "cannot be continued",
                    error,
                    "correct that and resume",
                )
            }
        }
    }
}
