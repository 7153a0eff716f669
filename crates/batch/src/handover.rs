//! Where a run and what performs its fetches meet: a request is about to be handed to its connection.
//!
//! This is the moment that counts as dispatch. It is logged here, apart from the scheduler, and here a
//! strict run makes sure of its windows.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::shared::Shared;

/// No time yet.
const NEVER: u64 = u64::MAX;

/// One try of one fetch.
pub struct Handover<'a> {
    shared: &'a Shared,
    /// The item was tried before.
    again: bool,
    requests: AtomicU32,
    /// Nanoseconds since the run's start: when the last request was handed over, and its header came.
    sent: AtomicU64,
    answered: AtomicU64,
    /// It was told to wait.
    waits: AtomicBool,
}

impl std::fmt::Debug for Handover<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handover({:?} requests)", self.requests)
    }
}

impl<'a> Handover<'a> {
    pub(crate) fn new(shared: &'a Shared, again: bool) -> Self {
        Self {
            shared,
            again,
            requests: AtomicU32::new(0),
            sent: AtomicU64::new(NEVER),
            answered: AtomicU64::new(NEVER),
            waits: AtomicBool::new(false),
        }
    }

    /// A request is about to be handed to its connection: it is so now, or its sender is to wait until
    /// the time given and ask again. Those after the first are beside the schedule, and take slots of
    /// later fetches.
    pub fn pass(&self) -> Option<Instant> {
        let first = self.requests() == 0;
        let again = self.again || !first;
        let now = match &self.shared.strict {
            None => {
                let now = self.shared.clock.now();
                self.shared.hand_over(now, again);
                now
            }
            Some(strict) => {
                let mut strict = Shared::lock(strict);
                // Read under the lock: the log is in order.
                let now = self.shared.clock.now();
                let mut waits = self.waits.load(Ordering::Relaxed);
                let wait = strict.ask(now, &mut waits);
                self.waits.store(waits, Ordering::Relaxed);
                if let Some(until) = wait {
                    return Some(self.shared.clock.instant(until));
                }
                self.shared.hand_over(now, again);
                now
            }
        };
        self.sent.store(nanos(now), Ordering::Relaxed);
        self.answered.store(NEVER, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        if !first {
            self.shared.state().dispatch.schedule.skip();
        }
        None
    }

    /// The header of the last request's response is there.
    pub fn answered(&self) {
        let now = self.shared.clock.now();
        self.answered.store(nanos(now), Ordering::Relaxed);
    }

    /// Requests handed over.
    pub(crate) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// When the last request was handed over.
    pub(crate) fn sent_at(&self) -> Option<Duration> {
        time(&self.sent)
    }

    /// When its response's header came.
    pub(crate) fn answered_at(&self) -> Option<Duration> {
        time(&self.answered)
    }
}

impl Drop for Handover<'_> {
    fn drop(&mut self) {
        if *self.waits.get_mut()
            && let Some(strict) = &self.shared.strict
        {
            Shared::lock(strict).leave(&mut true);
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

fn time(nanos: &AtomicU64) -> Option<Duration> {
    match nanos.load(Ordering::Relaxed) {
        NEVER => None,
        nanos => Some(Duration::from_nanos(nanos)),
    }
}
