//! A run that has begun: its progress, how to stop it, and its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::config::FileRunConfig;
use super::end::FileRunEnd;
use super::error::FileRunError;
use super::input_thread::Reading;
use super::output_thread::Output;
use crate::input::{Count, InputProgress};
use crate::journal::{Found, Window};
use crate::run::{Handle, Progress};

/// A run that has begun.
pub struct Running {
    config: FileRunConfig,
    found: Found,
    window: Option<Window>,
    watch: Watch,
    output: oneshot::Receiver<Output>,
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

impl Running {
    pub(super) fn new(
        config: FileRunConfig,
        found: Found,
        window: Option<Window>,
        watch: Watch,
        output: oneshot::Receiver<Output>,
    ) -> Self {
        Self {
            config,
            found,
            window,
            watch,
            output,
        }
    }

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
    pub async fn finished(self) -> Result<FileRunEnd, FileRunError> {
        let output = self.output.await;
        let output = output.map_err(|_| FileRunError::OutputPanicked)?;
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
    pub(super) fn new(
        handle: Handle,
        input: InputProgress,
        before: u64,
        reading: Arc<Reading>,
    ) -> Self {
        Self {
            handle,
            input,
            before,
            reading,
        }
    }

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
