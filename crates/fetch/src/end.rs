//! Reports the end of a fetch to the observer, exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fetchway_policy::ErrorName;
use http::StatusCode;
use tokio::time::Instant;

use crate::observe::{Moved, Observer};

/// A fetch in progress. If it is dropped before its end was reported, it counts as cancelled.
pub(crate) struct End {
    observer: Arc<dyn Observer>,
    lane: usize,
    began: Instant,
    status: Option<StatusCode>,
    sent: Arc<AtomicU64>,
    told: bool,
}

impl End {
    /// Reports the beginning of a fetch. `sent` counts the bytes of its request body.
    pub(crate) fn begin(observer: Arc<dyn Observer>, lane: usize, sent: Arc<AtomicU64>) -> Self {
        observer.fetch_started(lane);
        Self {
            observer,
            lane,
            began: Instant::now(),
            status: None,
            sent,
            told: false,
        }
    }

    /// Records that the response header has been received.
    pub(crate) fn status(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Reports the end: an error, or success.
    pub(crate) fn tell(mut self, error: Option<ErrorName>, received: u64) {
        self.report(error, received);
    }

    fn report(&mut self, error: Option<ErrorName>, received: u64) {
        let outcome = match (error, self.status) {
            (None, Some(status)) => Ok(status),
            (Some(error), _) => Err(error),
            (None, None) => Err(ErrorName::Cancelled),
        };
        let moved = Moved {
            sent: self.sent.load(Ordering::Relaxed),
            received,
        };
        self.observer
            .fetch_ended(self.lane, outcome, self.began.elapsed(), moved);
        self.told = true;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.told {
            self.report(Some(ErrorName::Cancelled), 0);
        }
    }
}
