//! The handover of a request to its connection: the moment that counts as dispatch.
//!
//! The handover is logged here, apart from the schedule, and a strict run keeps its windows here.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::shared::Shared;

/// Stands for a time that has not come.
const NEVER: u64 = u64::MAX;

/// Handovers of one try of a fetch.
pub struct Handover<'a> {
    shared: &'a Shared,
    /// The item was tried before.
    repeated: bool,
    requests: AtomicU32,
    /// Times at which the last request was handed over and its response's header came, in nanoseconds since
    /// the run's start.
    sent: AtomicU64,
    answered: AtomicU64,
    /// The request was told to wait.
    waits: AtomicBool,
}

impl std::fmt::Debug for Handover<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handover({:?} requests)", self.requests)
    }
}

impl<'a> Handover<'a> {
    pub(crate) fn new(shared: &'a Shared, repeated: bool) -> Self {
        Self {
            shared,
            repeated,
            requests: AtomicU32::new(0),
            sent: AtomicU64::new(NEVER),
            answered: AtomicU64::new(NEVER),
            waits: AtomicBool::new(false),
        }
    }

    /// Asks to hand a request to its connection. Returns none if it may be handed over now; otherwise the
    /// time until which to wait before asking again. Requests after the first are beside the schedule, and
    /// take slots of later fetches.
    pub fn pass(&self) -> Option<Instant> {
        let first = self.requests() == 0;
        let repeated = self.repeated || !first;
        let now = match &self.shared.strict {
            None => {
                let now = self.shared.clock.now();
                self.shared.report_sent(now, repeated);
                now
            }
            Some(strict) => {
                let mut strict = strict.lock();
                // Read under the lock: the log is in order.
                let now = self.shared.clock.now();
                let mut waits = self.waits.load(Ordering::Relaxed);
                let wait = strict.handle_request(now, &mut waits);
                self.waits.store(waits, Ordering::Relaxed);
                if let Some(until) = wait {
                    return Some(self.shared.clock.instant(until));
                }
                self.shared.report_sent(now, repeated);
                now
            }
        };
        self.sent.store(nanos(now), Ordering::Relaxed);
        self.answered.store(NEVER, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        if !first {
            self.shared.state().dispatch.handle_extra_request();
        }
        None
    }

    /// Notes that the header of the last request's response has come.
    pub fn answered(&self) {
        let now = self.shared.clock.now();
        self.answered.store(nanos(now), Ordering::Relaxed);
    }

    /// Number of requests handed over.
    pub(crate) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Time at which the last request was handed over.
    pub(crate) fn sent_at(&self) -> Option<Duration> {
        time(&self.sent)
    }

    /// Time at which its response's header came.
    pub(crate) fn answered_at(&self) -> Option<Duration> {
        time(&self.answered)
    }

    /// Time from the handover of the last request to its response's header.
    pub(crate) fn latency(&self) -> Option<Duration> {
        let (sent, answered) = (self.sent_at()?, self.answered_at()?);
        Some(answered.saturating_sub(sent))
    }
}

impl Drop for Handover<'_> {
    fn drop(&mut self) {
        if *self.waits.get_mut()
            && let Some(strict) = &self.shared.strict
        {
            strict.lock().handle_abandoned(&mut true);
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
