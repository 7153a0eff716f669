//! The clock of a run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Time since the run's start: monotonic, with the Unix time of the start. Based on tokio's clock, which a test
/// can pause.
pub(crate) struct Clock {
    start: Instant,
    /// Microseconds since the Unix epoch.
    epoch: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            start: Instant::now(),
            epoch: micros(since),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn instant(&self, at: Duration) -> Instant {
        /// Stands in for a time that cannot be represented.
        const FAR: Duration = Duration::from_secs(365 * 86_400);
        self.start
            .checked_add(at)
            .unwrap_or_else(|| self.start + FAR)
    }

    /// Microseconds since the Unix epoch.
    pub(crate) fn epoch(&self, at: Duration) -> u64 {
        self.epoch + micros(at)
    }

    /// System time, without asking the system for it.
    pub(crate) fn system_time(&self, at: Duration) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.epoch(at))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
