//! Time as a gateway keeps it of thousands of clients: in tenths of seconds, four bytes each.

use std::time::Duration;

use tokio::time::Instant;

/// Counts tenths of seconds since the gateway began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// Returns the tenths of seconds since the gateway began.
    pub(crate) fn now(self) -> u32 {
        (self.began.elapsed().as_millis() / 100) as u32
    }
}

/// Returns a duration in tenths of seconds, at least one.
pub(crate) fn tenths(duration: Duration) -> u32 {
    (duration.as_millis() / 100).max(1) as u32
}
