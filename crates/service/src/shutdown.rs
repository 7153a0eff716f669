//! Shutdown of a node in three steps: soft, grace, hard. Listeners and capabilities share one handle.
//!
//! ```text
//! Serving ──signal──> Draining ──grace over──> Closing ──────────> Ended
//!                         ├────all work done──────┘                  ^
//!                         └──────────────second signal───────────────┘
//! ```
//!
//! Soft: from `Draining` on, no new work begins. Grace: work in progress may end, and
//! [`Shutdown::drain`] waits for it. Hard: from `Closing` on, work that is left ends at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// Time that work may take to end after the grace: a session waits for its last bytes to be taken, and
/// then for the client's Close.
const CLOSING: Duration = Duration::from_secs(10);

/// Phase of a node. Phases only move forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything is open.
    Serving,
    /// The main listener is closed and nothing new begins; work in progress continues; the admin
    /// listener reports "not ready".
    Draining,
    /// Work that is left ends now, and the other listeners close.
    Closing,
    /// Everything that still runs is cut off.
    Ended,
}

/// The shutdown handle of one node. Clones share its state.
#[derive(Clone, Debug)]
pub struct Shutdown {
    phase: Arc<watch::Sender<Phase>>,
    /// Each unit of work holds a receiver, so the channel closes with the last of them.
    work: Arc<watch::Sender<()>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            phase: Arc::new(watch::Sender::new(Phase::Serving)),
            work: Arc::new(watch::Sender::new(())),
        }
    }
}

impl Shutdown {
    /// Phase at this moment.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves forward to `phase`. Does nothing if the node has reached it already.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let ahead = phase > *current;
            if ahead {
                *current = phase;
            }
            ahead
        });
    }

    /// Returns once the node has reached `phase`.
    pub async fn reached(&self, phase: Phase) {
        let mut watch = self.phase.subscribe();
        // Cannot fail: `self` keeps the sender.
        let _ = watch.wait_for(|current| *current >= phase).await;
    }

    /// Registers a unit of work, such as a session. [`Shutdown::drain`] waits until the returned guard
    /// and its clones are dropped.
    #[must_use]
    pub fn begin(&self) -> Work {
        Work {
            phase: self.phase.subscribe(),
            _counted: self.work.subscribe(),
        }
    }

    /// Begins to drain, and waits up to `grace` for all work to end. After that, work that is left has
    /// to end at once. Returns true if all work ended within `grace`.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.advance(Phase::Draining);
        if timeout(grace, self.work.closed()).await.is_ok() {
            return true;
        }
        self.advance(Phase::Closing);
        // Work that does not end within the bound is cut off later, with its task.
        let _ = timeout(CLOSING, self.work.closed()).await;
        false
    }
}

/// A unit of work in progress, and its view of the shutdown.
#[derive(Clone, Debug)]
pub struct Work {
    phase: watch::Receiver<Phase>,
    _counted: watch::Receiver<()>,
}

impl Work {
    /// Phase at this moment. [`Work::changed`] then waits for the next one.
    pub fn phase(&mut self) -> Phase {
        *self.phase.borrow_and_update()
    }

    /// Whether the node still serves, so that the work may grow.
    #[must_use]
    pub fn may_begin_more(&self) -> bool {
        *self.phase.borrow() == Phase::Serving
    }

    /// Returns once the phase is another than the one last returned by [`Work::phase`].
    pub async fn changed(&mut self) {
        if self.phase.changed().await.is_err() {
            // Nobody is left who could change the phase.
            std::future::pending::<()>().await;
        }
    }

    /// Returns once the node has reached `phase`.
    pub async fn reached(&mut self, phase: Phase) {
        if self
            .phase
            .wait_for(|current| *current >= phase)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn phases_only_move_on() {
        let shutdown = Shutdown::default();
        let other = shutdown.clone();
        let waiting = tokio::spawn(async move { other.reached(Phase::Draining).await });
        shutdown.advance(Phase::Closing);
        shutdown.advance(Phase::Draining);
        assert_eq!(shutdown.phase(), Phase::Closing);
        waiting.await.expect("the waiter was woken");
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_all_work() {
        let shutdown = Shutdown::default();
        let mut work = shutdown.begin();
        let other = work.clone();
        let draining = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.drain(GRACE).await }
        });
        work.reached(Phase::Draining).await;
        assert!(!work.may_begin_more());
        drop(work);
        tokio::time::sleep(GRACE / 2).await;
        assert!(!draining.is_finished(), "a clone is left");
        drop(other);
        assert!(draining.await.expect("no panic"));
        assert_eq!(shutdown.phase(), Phase::Draining);
        assert!(shutdown.drain(GRACE).await, "no work is left");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_outlasts_the_grace_is_told_to_end() {
        let shutdown = Shutdown::default();
        let mut work = shutdown.begin();
        let working = tokio::spawn(async move { work.reached(Phase::Closing).await });
        assert!(!shutdown.drain(GRACE).await);
        working.await.expect("the work was told");
    }
}
