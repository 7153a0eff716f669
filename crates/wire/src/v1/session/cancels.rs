//! A client's cancels are rationed: open-and-cancel costs the relay more than the client (HTTP/2's
//! rapid reset, CVE-2023-44487), and the number of open streams does not bound it.

use std::time::{Duration, Instant};

use super::Breach;

/// Cancels that a client has in hand at first, and at most; each fetch that ends otherwise gives one
/// back, and so does each [`EVERY`].
const MOST: u64 = 1_000;

/// See [`MOST`].
const EVERY: Duration = Duration::from_millis(10);

/// What a client has in hand.
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
    /// One has come.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Breach> {
        let since = now.saturating_duration_since(*self.refilled.get_or_insert(now));
        let more = (since.as_nanos() / EVERY.as_nanos()).min(u128::from(MOST)) as u64;
        if more > 0 {
            self.left = (self.left + more).min(MOST);
            // What is left of the time counts for the next one.
            let rest = since.as_nanos() % EVERY.as_nanos();
            self.refilled = Some(now - Duration::from_nanos(rest as u64));
        }
        self.left = self.left.checked_sub(1).ok_or(Breach::Cancels)?;
        Ok(())
    }

    /// A fetch has ended otherwise.
    pub(super) fn give_back(&mut self) {
        self.left = (self.left + 1).min(MOST);
    }
}
