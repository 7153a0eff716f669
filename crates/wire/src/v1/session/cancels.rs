//! Limits a client's cancels. Opening and cancelling a stream costs the relay more than the client
//! (HTTP/2's rapid reset, CVE-2023-44487), and the limit on open streams does not prevent it.

use std::time::{Duration, Instant};

use super::Violation;

/// Cancels that a client may use at once. Each use takes one; each fetch that ends in another way gives
/// one back, and so does each interval of [`EVERY`].
const MOST: u64 = 1_000;

/// Interval at which one cancel is given back; see [`MOST`].
const EVERY: Duration = Duration::from_millis(10);

/// The cancels that a client has left.
#[derive(Debug)]
pub(super) struct Cancels {
    left: u64,
    refilled: Option<Instant>,
}

impl Default for Cancels {
    fn default() -> Self {
        Self {
            left: MOST,
            refilled: None,
        }
    }
}

impl Cancels {
    /// Counts a cancel that was received.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Violation> {
        let since = now.saturating_duration_since(*self.refilled.get_or_insert(now));
        let more = (since.as_nanos() / EVERY.as_nanos()).min(u128::from(MOST)) as u64;
        if more > 0 {
            self.left = (self.left + more).min(MOST);
            // The remainder of the interval counts towards the next cancel.
            let rest = since.as_nanos() % EVERY.as_nanos();
            self.refilled = Some(now - Duration::from_nanos(rest as u64));
        }
        self.left = self.left.checked_sub(1).ok_or(Violation::Cancels)?;
        Ok(())
    }

    /// Gives a cancel back, after a fetch that ended in another way.
    pub(super) fn give_back(&mut self) {
        self.left = (self.left + 1).min(MOST);
    }
}
