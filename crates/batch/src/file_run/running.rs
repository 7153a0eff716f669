//! A run that has begun: its progress, how to stop it, and its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fetchway_policy::FetchError;
use tokio::sync::oneshot;

use super::config::{BadLines, Earlier, FileRunConfig, Output};
use super::end::FileRunEnd;
use super::input_thread::{self, Reading, Selection};
use super::output_thread::{self, OutputEnd};
use super::send_log::SendLog;
use crate::error::BatchError;
use crate::input::{Count, Input, InputProgress};
use crate::journal::{DoneItems, Found, Journal, Options, Resume, Window};
use crate::run::{Handle, Performer, Progress, run};

/// A run that has begun.
pub struct Running {
    config: FileRunConfig,
    found: Found,
    window: Option<Window>,
    watch: Watch,
    output: oneshot::Receiver<OutputEnd>,
}

/// Progress of a run, for whoever shows it.
#[derive(Clone)]
pub struct Watch {
    handle: Handle,
    input: InputProgress,
    /// Number of items that an earlier run has done.
    before: u64,
    reading: Arc<Reading>,
}

impl FileRunConfig {
    /// Opens the output of a run with this input, and begins to fetch. The output is new, or that of an earlier run,
    /// which is read: `on_found` is called with its content before any of it is changed. `on_skipped` is called for
    /// each bad line that is skipped, with the number of those before. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If the output cannot be written, exists and is not to be resumed, or is of another input; if the dispatch log
    /// cannot be written; if a thread cannot be started.
    pub fn start(
        mut self,
        input: Input,
        performer: impl Performer,
        on_found: impl FnOnce(&Found),
        on_skipped: impl Fn(u64, &FetchError) + Send + 'static,
    ) -> Result<Running, BatchError> {
        let window = self.ordered.then(Window::default);
        let (journal, done, found) = self.open_output(window.clone(), on_found)?;
        let sends = Arc::new(SendLog::create(self.dispatch_log.as_deref())?);
        let on_sent = Arc::clone(&sends);
        self.run.on_sent = Some(Arc::new(move |sent| on_sent.add(sent)));
        let progress = input.progress();
        let before = done.as_ref().map_or(0, DoneItems::len);
        let selection = Selection {
            done,
            skip_bad: self.bad_lines == BadLines::Skip,
            on_skipped: Box::new(on_skipped),
            window: window.clone(),
        };
        let thread = |name| {
            move |error| {
                BatchError::new(format!(
                    "the thread for the {name} can't be started: {error}"
                ))
            }
        };
        let (items, reading) = input_thread::start(input, selection).map_err(thread("input"))?;
        let (outcomes, handle) = run(&self.run, items, performer);
        let time = (handle.began(), self.run.rate);
        let output =
            output_thread::start(outcomes, journal, sends, time).map_err(thread("output"))?;
        Ok(Running {
            config: self,
            found,
            window,
            watch: Watch {
                handle,
                input: progress,
                before,
                reading,
            },
            output,
        })
    }

    fn open_output(
        &self,
        window: Option<Window>,
        on_found: impl FnOnce(&Found),
    ) -> Result<(Journal, Option<DoneItems>, Found), BatchError> {
        let options = Options {
            bodies: self.bodies.clone(),
            sync: self.sync,
            ordered: window,
        };
        let new = match (&self.output, self.earlier) {
            (Output::Stdout, Earlier::Refuse) => Journal::stream(Box::new(io::stdout()), options)?,
            (Output::Stdout, _) => {
                return Err(BatchError::new(
                    "standard output can't be read back, so it can't be resumed: name a file",
                ));
            }
            (Output::File(path), Earlier::Refuse) => Journal::create(path, options)?,
            (Output::File(path), Earlier::Resume | Earlier::RetryFailed) => {
                let retry_failed = self.earlier == Earlier::RetryFailed;
                let resume = Resume::open(path, retry_failed, self.depth())?;
                resume.check(&self.source)?;
                let found = resume.found();
                on_found(&found);
                let (journal, done) = resume.start(options)?;
                return Ok((journal, Some(done), found));
            }
        };
        Ok((new, None, Found::default()))
    }
}

impl Running {
    /// Progress of the run.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Returns a function that stops the run: nothing more is sent, and fetches in flight are finished.
    pub fn stopper(&self) -> impl Fn() + use<> {
        let (handle, window) = (self.watch.handle.clone(), self.window.clone());
        move || {
            handle.stop();
            if let Some(window) = &window {
                window.close();
            }
        }
    }

    /// Waits until the last outcome is written, and sums up the run.
    ///
    /// # Errors
    /// If the thread that writes the output has panicked.
    pub async fn finished(self) -> Result<FileRunEnd, BatchError> {
        let output = self.output.await.map_err(|_| {
            BatchError::new("the thread for the output has panicked; the output can be resumed")
        })?;
        let (handle, reading) = (&self.watch.handle, &self.watch.reading);
        Ok(FileRunEnd::new(
            &self.config,
            &self.found,
            handle,
            reading,
            output,
        ))
    }
}

impl Watch {
    /// Progress of the run at this moment.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.handle.progress()
    }

    /// Number of items that the run has in all, without those of an earlier run and those that are skipped.
    #[must_use]
    pub fn total(&self, progress: &Progress) -> Count {
        let gone = self.before + self.reading.skipped.load(Ordering::Relaxed);
        let left = |all: u64| all.saturating_sub(gone).max(progress.finished);
        match self.input.items() {
            Count::Unknown => Count::Unknown,
            Count::Guess(all) => Count::Guess(left(all)),
            Count::Known(all) => Count::Known(left(all)),
        }
    }
}
