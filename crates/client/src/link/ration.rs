//! Cancels are rationed by the relay (`docs/protocol.md`, close code 4420): whoever sends more than
//! its share loses the session. So we count along, and keep back what is too much.

use std::time::{Duration, Instant};

/// What the relay gives at first and at most is 1,000. The difference is for what travels faster
/// than what went before it.
const CANCELS: u32 = 900;

/// What the relay gives back one for.
const EVERY: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Ration {
    left: u32,
    /// Since when nothing has been given back for time.
    since: Option<Instant>,
}

impl Ration {
    pub(super) fn new() -> Self {
        Self {
            left: CANCELS,
            since: None,
        }
    }

    /// Takes one cancel, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let given = now.saturating_duration_since(since).as_nanos() / EVERY.as_nanos();
        let given = u32::try_from(given).unwrap_or(u32::MAX).min(CANCELS);
        if given > 0 {
            self.left = (self.left + given).min(CANCELS);
            self.since = Some(now);
        }
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }

    /// A stream ended otherwise, or a cancel was not needed.
    pub(super) fn give(&mut self) {
        self.left = (self.left + 1).min(CANCELS);
    }

    /// When the next one is given for time.
    pub(super) fn at(&self) -> Option<Instant> {
        self.since.map(|since| since + EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancels_come_back_with_time_and_with_streams_that_end_otherwise() {
        let begun = Instant::now();
        let mut ration = Ration::new();
        assert_eq!((0..2_000).filter(|_| ration.take(begun)).count(), 900);
        assert_eq!(ration.at(), Some(begun + EVERY));
        ration.give();
        assert!(ration.take(begun) && !ration.take(begun));
        assert!(ration.take(begun + EVERY) && !ration.take(begun + EVERY));
        let later = begun + Duration::from_secs(3_600);
        assert_eq!((0..2_000).filter(|_| ration.take(later)).count(), 900);
    }
}
