//! A run whose output is open, before its first fetch.

use std::io;
use std::sync::Arc;

use fetchway_policy::FetchError;

use super::config::{BadLines, Earlier, FileRunConfig, Output};
use super::error::FileRunError;
use super::input_thread::{self, Selection};
use super::output_thread;
use super::running::{Running, Watch};
use super::send_log::SendLog;
use crate::input::Input;
use crate::journal::{DoneItems, Found, Journal, Options, Resume, Window};
use crate::run::{Performer, run};

/// A run whose output is open. Nothing has been fetched yet.
pub struct FileRun {
    config: FileRunConfig,
    input: Input,
    journal: Journal,
    window: Option<Window>,
    /// Items of an earlier run.
    done: Option<DoneItems>,
    found: Found,
}

impl FileRun {
    /// Opens the output of a run with this input: a new one, or one of an earlier run, which is read.
    /// `on_found` is called with the content of the latter before any of it is changed.
    ///
    /// # Errors
    /// If the output cannot be written, exists and is not to be resumed, or is of another input. A new output is
    /// not left behind then.
    pub fn open(
        config: FileRunConfig,
        input: Input,
        on_found: impl FnOnce(&Found),
    ) -> Result<Self, FileRunError> {
        let window = config.ordered.then(Window::default);
        let options = Options {
            bodies: config.bodies.clone(),
            sync: config.sync,
            ordered: window.clone(),
        };
        let mut done = None;
        let mut found = Found::default();
        let journal = match (&config.output, config.earlier) {
            (Output::Stdout, Earlier::Refuse) => Journal::stream(Box::new(io::stdout()), options)?,
            (Output::Stdout, _) => return Err(FileRunError::ResumeFromStdout),
            (Output::File(path), Earlier::Refuse) => Journal::create(path, options)?,
            (Output::File(path), Earlier::Resume | Earlier::RetryFailed) => {
                let retry_failed = config.earlier == Earlier::RetryFailed;
                let resume = Resume::following(path, retry_failed, config.depth())?;
                resume.check(&config.source)?;
                found = resume.found();
                on_found(&found);
                let (journal, items) = resume.start(options)?;
                done = Some(items);
                journal
            }
        };
        Ok(Self {
            config,
            input,
            journal,
            window,
            done,
            found,
        })
    }

    /// Begins to fetch. `on_skipped` is called for each bad line that is skipped, with the number of those before.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If the dispatch log cannot be written, or a thread cannot be started.
    pub fn start(
        mut self,
        performer: impl Performer,
        on_skipped: impl Fn(u64, &FetchError) + Send + 'static,
    ) -> Result<Running, FileRunError> {
        let sends = Arc::new(SendLog::create(self.config.dispatch_log.as_deref())?);
        let on_sent = Arc::clone(&sends);
        self.config.run.on_sent = Some(Arc::new(move |sent| on_sent.add(sent)));
        let progress = self.input.progress();
        let before = self.done.as_ref().map_or(0, DoneItems::len);
        let selection = Selection {
            done: self.done,
            skip_bad: self.config.bad_lines == BadLines::Skip,
            on_skipped: Box::new(on_skipped),
            window: self.window.clone(),
        };
        let (items, reading) = input_thread::start(self.input, selection)
            .map_err(|error| FileRunError::Thread("input", error))?;
        let (outcomes, handle) = run(&self.config.run, items, performer);
        let rate = self.config.run.rate;
        let written = output_thread::start(outcomes, self.journal, sends, (handle.began(), rate))
            .map_err(|error| FileRunError::Thread("output", error))?;
        let watch = Watch::new(handle, progress, before, reading);
        Ok(Running::new(
            self.config,
            self.found,
            self.window,
            watch,
            written,
        ))
    }
}
