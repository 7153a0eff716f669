//! Outcomes that nobody has taken yet, and for how long they kept anything from being sent.

use std::time::Duration;

/// Outcomes that wait for longer than this count as taken too slowly.
const SLOW: Duration = Duration::from_millis(20);

/// Outcomes that are given and not taken. Each keeps its item's place in flight.
#[derive(Debug, Default)]
pub(crate) struct Untaken {
    pub(crate) count: usize,
    /// Start of the current period in which they are the reason why nothing is sent.
    blocking_since: Option<Duration>,
    /// Total of the earlier periods.
    blocked_before: Duration,
}

impl Untaken {
    /// Notes whether these outcomes are, from now on, the reason why nothing is sent.
    pub(crate) fn set_blocking(&mut self, blocking: bool, now: Duration) {
        match (blocking, self.blocking_since) {
            (true, None) => self.blocking_since = Some(now),
            (false, Some(since)) => {
                self.blocking_since = None;
                self.blocked_before += now.saturating_sub(since);
            }
            _ => {}
        }
    }

    /// Returns true if they have blocked for long enough to blame whoever takes them.
    pub(crate) fn is_slow(&self, now: Duration) -> bool {
        let since = self.blocking_since;
        since.is_some_and(|since| now.saturating_sub(since) >= SLOW)
    }

    /// Total time for which they kept items from being sent.
    pub(crate) fn blocked(&self, now: Duration) -> Duration {
        let since = self.blocking_since.unwrap_or(now);
        self.blocked_before + now.saturating_sub(since)
    }
}
