//! The rate of a run: slot k is due at t0 + k × window / count, to the nanosecond and without drift.
//!
//! Slots are not tokens: nothing is saved up. A slot that nobody could use for [`CATCH_UP`] lapses. Until
//! then it is used late, so a late wake-up costs nothing but its lateness.

use std::time::Duration;

use fetchway_policy::Rate;

/// Longest lateness with which a slot may still be used. Late timers and short stalls are made up for; after
/// a longer stall no more than this much of the rate is sent at once.
pub(crate) const CATCH_UP: Duration = Duration::from_millis(100);

/// Decides when the next item is due. Times are since the run's start.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// Rate to hold; none means as fast as possible.
    rate: Option<Rate>,
    /// Time of slot 0; set when the first slot is taken.
    base: Option<Duration>,
    /// Number of the next slot.
    next: u64,
}

/// A slot that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Time at which the slot was due.
    pub(crate) at: Duration,
    /// Time by which the schedule has slipped: the slots of that time lapsed before this one.
    pub(crate) slipped: Duration,
}

impl Schedule {
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            base: None,
            next: 0,
        }
    }

    /// Time at which the next slot is due; zero if at once.
    pub(crate) fn next_at(&self) -> Duration {
        match (self.rate, self.base) {
            (Some(rate), Some(base)) => base + offset(rate, self.next),
            _ => Duration::ZERO,
        }
    }

    /// Takes the next slot, which must be due.
    pub(crate) fn take(&mut self, now: Duration) -> Slot {
        if self.rate.is_none() {
            return Slot {
                at: now,
                slipped: Duration::ZERO,
            };
        }
        let first = self.base.is_none();
        let due = if first { now } else { self.next_at() };
        let slipped = now.saturating_sub(due).saturating_sub(CATCH_UP);
        let at = due + slipped;
        if first || !slipped.is_zero() {
            (self.base, self.next) = (Some(at), 0);
        }
        self.next += 1;
        Slot { at, slipped }
    }

    /// Gives up the next slot for a request that was sent outside the schedule.
    pub(crate) fn skip(&mut self) {
        if self.base.is_some() {
            self.next += 1;
        }
    }
}

/// Returns k × window / count, exact to the nanosecond.
fn offset(rate: Rate, k: u64) -> Duration {
    let nanos = rate.window.as_nanos() * u128::from(k) / u128::from(rate.count.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_second(count: u32) -> Rate {
        Rate {
            count,
            window: Duration::from_secs(1),
        }
    }

    #[test]
    fn no_slot_drifts_however_late_it_is_used() {
        // 3 a second is no whole number of nanoseconds.
        let mut schedule = Schedule::new(Some(per_second(3)));
        let start = Duration::from_millis(7);
        for k in 0..3_000_000_u64 {
            let due = schedule.next_at().max(start);
            let late = Duration::from_micros(k % 90_000);
            let slot = schedule.take(due + if k == 0 { Duration::ZERO } else { late });
            assert_eq!(slot.slipped, Duration::ZERO);
        }
        assert_eq!(schedule.next_at(), start + Duration::from_secs(1_000_000));
    }

    #[test]
    fn what_was_due_for_too_long_lapses() {
        let mut schedule = Schedule::new(Some(per_second(1000)));
        let t = Duration::from_millis;
        assert_eq!(schedule.take(t(50)).at, t(50));
        // In time, if only just: 100 slots follow at once.
        for k in 1..=101 {
            assert_eq!(schedule.take(t(151)).at, t(50 + k));
        }
        assert_eq!(schedule.next_at(), t(152));
        // The slots of 152 to 154 lapse, those after are still owed.
        let slot = schedule.take(t(255));
        assert_eq!((slot.at, slot.slipped), (t(155), t(3)));
        assert_eq!(schedule.next_at(), t(156));
    }

    #[test]
    fn extra_requests_take_slots() {
        let mut schedule = Schedule::new(Some(per_second(100)));
        let t = Duration::from_millis;
        schedule.take(t(0));
        schedule.skip();
        assert_eq!(schedule.next_at(), t(20));
    }

    #[test]
    fn without_a_rate_all_is_due() {
        let mut schedule = Schedule::new(None);
        let now = Duration::from_secs(9);
        assert_eq!(
            (schedule.next_at(), schedule.take(now).at),
            (Duration::ZERO, now)
        );
    }
}
