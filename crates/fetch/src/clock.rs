//! The two clocks of a body, which stand still while whoever reads it does not ask for more.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use fetchway_policy::{ErrorName, FetchError};
use tokio::time::{Instant, Sleep};

/// How far ahead "never" is put where a configured time passes what an `Instant` can hold.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The instant after `time` from now.
pub(crate) fn after(time: Duration) -> Instant {
    later(Instant::now(), time)
}

fn later(at: Instant, time: Duration) -> Instant {
    at.checked_add(time).unwrap_or_else(|| at + FAR)
}

/// Body idle and total time.
pub(crate) struct BodyClock {
    idle: Duration,
    idle_until: Instant,
    total_until: Instant,
    /// When something was handed out and not yet asked for more.
    handed: Option<Instant>,
    /// Made when the origin first keeps us waiting.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl BodyClock {
    pub(crate) fn new(idle: Duration, total_until: Instant) -> Self {
        let now = Instant::now();
        Self {
            idle,
            idle_until: later(now, idle),
            total_until,
            handed: Some(now),
            sleep: None,
        }
    }

    /// The reader asks: the time since it was last given something was its own.
    pub(crate) fn asked(&mut self) {
        if let Some(handed) = self.handed.take() {
            let now = Instant::now();
            self.total_until = later(self.total_until, now - handed);
            self.idle_until = later(now, self.idle);
        }
    }

    /// The reader is given something.
    pub(crate) fn gave(&mut self) {
        self.handed = Some(Instant::now());
    }

    /// The origin keeps us waiting: for too long?
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<FetchError> {
        let until = self.idle_until.min(self.total_until);
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx).map(|()| {
            if self.idle_until < self.total_until {
                let detail =
                    "The origin sent nothing of the response body for the lane's body idle time.";
                FetchError::new(ErrorName::ConnectionReadTimeout, detail)
            } else {
                total_over()
            }
        })
    }
}

/// The fetch as a whole took too long.
pub(crate) fn total_over() -> FetchError {
    let detail = "The fetch took longer than its total timeout.";
    FetchError::new(ErrorName::HttpResponseTimeout, detail)
}
