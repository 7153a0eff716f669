//! The timeouts of a fetch, and the two clocks of its body, which stop while the reader does not ask for
//! more.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use fetchway_policy::{Clocks, ErrorName, FetchError, Timeouts};
use tokio::time::{Instant, Sleep};

/// Distance of "never", used when a configured time is more than an `Instant` can hold.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Returns the instant `time` from now.
pub(crate) fn after(time: Duration) -> Instant {
    later(Instant::now(), time)
}

fn later(at: Instant, time: Duration) -> Instant {
    at.checked_add(time).unwrap_or_else(|| at + FAR)
}

/// End of errors that come from a connect timeout, until it is known who set the timeout: see
/// [`no_connection`].
pub(crate) const IN_TIME: &str = " in time.";

/// A timeout, and who set it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) time: Duration,
    name: &'static str,
    /// Set if the request has shortened the timeout of its lane.
    is_own: bool,
}

/// Formats the timeout as in "no answer within 5m, the lane's header-timeout".
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.is_own {
            "request's own"
        } else {
            "lane's"
        };
        write!(f, "{:?}, the {whose} {}", self.time, self.name)
    }
}

/// The timeouts of the lane, with those that the fetch has shortened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connect: Limit,
    pub(crate) header: Limit,
    pub(crate) body_idle: Limit,
    pub(crate) total: Limit,
}

/// A timeout of a fetch that has its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// The response header did not come in time.
    Header,
    /// The origin was silent for too long within the response body.
    BodyIdle,
    /// The fetch took too long in total.
    Total,
}

impl Limits {
    pub(crate) fn new(lane: Clocks, asked: &Timeouts) -> Self {
        let sum = lane.shortened(asked);
        let limit = |time: Duration, lane: Duration, name| Limit {
            time,
            name,
            is_own: time < lane,
        };
        Self {
            connect: limit(sum.connect, lane.connect, "connect-timeout"),
            header: limit(sum.header, lane.header, "header-timeout"),
            body_idle: limit(sum.body_idle, lane.body_idle, "body-idle-timeout"),
            total: limit(sum.total, lane.total, "total-timeout"),
        }
    }

    /// Returns the error of a fetch that has exceeded this timeout.
    pub(crate) fn error(&self, timeout: Timeout) -> FetchError {
        let (name, detail) = match timeout {
            Timeout::Header => (
                ErrorName::HttpResponseTimeout,
                format!("The origin sent no response header within {}.", self.header),
            ),
            Timeout::BodyIdle => (
                ErrorName::ConnectionReadTimeout,
                format!(
                    "The origin sent nothing of the response body for {}.",
                    self.body_idle
                ),
            ),
            Timeout::Total => (
                ErrorName::HttpResponseTimeout,
                format!("The fetch took longer than {}.", self.total),
            ),
        };
        FetchError::new(name, detail)
    }
}

/// The idle timeout and the total timeout of a body.
pub(crate) struct BodyClock {
    limits: Limits,
    idle_until: Instant,
    total_until: Instant,
    /// Time at which something was handed out that has not been followed by a request for more.
    handed: Option<Instant>,
    /// Timer, made when the origin first keeps the reader waiting.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl BodyClock {
    /// Returns the clocks. `total_until` is the end of the total time so far.
    pub(crate) fn new(limits: &Limits, total_until: Instant) -> Self {
        let now = Instant::now();
        Self {
            limits: *limits,
            idle_until: later(now, limits.body_idle.time),
            total_until,
            handed: Some(now),
            sleep: None,
        }
    }

    /// Records that the reader asks for more: the time since it was last given something was its own.
    pub(crate) fn asked(&mut self) {
        if let Some(handed) = self.handed.take() {
            let now = Instant::now();
            self.total_until = later(self.total_until, now - handed);
            self.idle_until = later(now, self.limits.body_idle.time);
        }
    }

    /// Records that the reader is given something.
    pub(crate) fn gave(&mut self) {
        self.handed = Some(Instant::now());
    }

    /// Checks whether the origin has kept the reader waiting for too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<FetchError> {
        let until = self.idle_until.min(self.total_until);
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx).map(|()| {
            self.limits.error(match self.idle_until < self.total_until {
                true => Timeout::BodyIdle,
                false => Timeout::Total,
            })
        })
    }
}

/// Returns `error`, with the connect timeout added if the error comes from it.
pub(crate) fn no_connection(error: FetchError, connect: Limit) -> FetchError {
    let is_late = matches!(
        error.name,
        ErrorName::ConnectionTimeout | ErrorName::DnsTimeout
    );
    match error.detail.strip_suffix(IN_TIME) {
        Some(what) if is_late => {
            let detail = format!("{what} within {connect}.");
            FetchError::new(error.name, detail)
        }
        _ => error,
    }
}
