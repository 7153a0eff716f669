//! The limit of cancels. A relay closes a session that sends more cancels than it allows
//! (`docs/protocol.md`, close code 4420), so the client counts its own and delays those beyond the limit.

use std::time::{Duration, Instant};

/// Cancels allowed at once. The relay allows 1,000; the difference covers messages that arrive closer
/// together than they were sent.
const BURST: u32 = 900;

/// Time after which one more cancel is allowed.
const INTERVAL: Duration = Duration::from_millis(10);

/// Counts the cancels that the relay still allows.
#[derive(Debug)]
pub(super) struct CancelLimit {
    left: u32,
    /// When cancels were last added for elapsed time.
    refilled: Option<Instant>,
}

impl CancelLimit {
    pub(super) fn new() -> Self {
        Self {
            left: BURST,
            refilled: None,
        }
    }

    /// Takes one cancel. Returns false if none is left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let refilled = *self.refilled.get_or_insert(now);
        let earned = now.saturating_duration_since(refilled).as_nanos() / INTERVAL.as_nanos();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX).min(BURST);
        if earned > 0 {
            self.left = (self.left + earned).min(BURST);
            self.refilled = Some(now);
        }
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }

    /// Adds one cancel: a stream ended without one, or a cancel that was taken was not sent.
    pub(super) fn give_back(&mut self) {
        self.left = (self.left + 1).min(BURST);
    }

    /// Returns when the next cancel is added for elapsed time.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.refilled.map(|refilled| refilled + INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancels_come_back_with_time_and_with_streams_that_end_otherwise() {
        let begun = Instant::now();
        let mut limit = CancelLimit::new();
        assert_eq!((0..2_000).filter(|_| limit.take(begun)).count(), 900);
        assert_eq!(limit.next_at(), Some(begun + INTERVAL));
        limit.give_back();
        assert!(limit.take(begun) && !limit.take(begun));
        assert!(limit.take(begun + INTERVAL) && !limit.take(begun + INTERVAL));
        let later = begun + Duration::from_secs(3_600);
        assert_eq!((0..2_000).filter(|_| limit.take(later)).count(), 900);
    }
}
