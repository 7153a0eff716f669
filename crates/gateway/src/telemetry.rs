//! Everything that a gateway tells of itself: its counters, its observer and its log.

use std::sync::Arc;
use std::time::Duration;

use fetchway_policy::FetchError;
use http::StatusCode;

use crate::error_log::{ErrorLog, Problem};
use crate::observe::Observer;
use crate::stats::{Counters, add};

/// The counters, the observer and the log of one gateway.
pub(crate) struct Telemetry {
    pub(crate) counters: Counters,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) log: ErrorLog,
}

impl Telemetry {
    pub(crate) fn new(observer: Arc<dyn Observer>, log: ErrorLog) -> Self {
        Self {
            counters: Counters::default(),
            observer,
            log,
        }
    }

    /// Counts a request to the API that has ended: with a response of this status, or without one.
    pub(crate) fn requested(
        &self,
        client: &str,
        result: Result<StatusCode, &FetchError>,
        took: Duration,
    ) {
        self.observer.requested(took);
        match result {
            Ok(status) if status.is_success() => {
                add(&self.counters.succeeded);
                self.log.api_answers();
            }
            Ok(status) => {
                add(&self.counters.failed);
                match status.is_server_error() {
                    true => self.log.problem(Problem::Failed, status.as_str()),
                    false => self.log.api_answers(),
                }
            }
            Err(error) => {
                add(&self.counters.failed);
                let gateway = self.log.gateway();
                tracing::debug!(gateway, client, %error, "a request to the API failed");
                self.log.problem(Problem::Failed, error.name.as_str());
            }
        }
    }

    /// Tells the log why the API did not take a message or DELETE.
    pub(crate) fn not_taken(&self, client: &str, reason: &str) {
        let gateway = self.log.gateway();
        tracing::debug!(
            gateway,
            client,
            reason,
            "the API did not take a client's message or DELETE"
        );
    }

    /// Counts a lost message or DELETE.
    pub(crate) fn lost(&self, client: &str) {
        self.observer.lost();
        self.log.problem(Problem::Lost, client);
    }
}
