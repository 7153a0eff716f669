//! How a node ends: soft, grace, hard. One type that every listener watches.
//!
//! ```text
//! Serving ──signal──> Draining ──all answered, or grace over──> Closing ──closed──> Ended
//!                         └───────────────second signal──────────────────────────────^
//! ```

use std::sync::Arc;

use tokio::sync::watch;

/// Where the node is. Only ever moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Everything is open.
    Serving,
    /// The main listener is closed; fetches in flight go on; the admin listener says "not ready".
    Draining,
    /// Sessions are closed; the admin listener closes too.
    Closing,
    /// Whatever still runs is cut off.
    Ended,
}

/// The phase of one node. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    phase: Arc<watch::Sender<Phase>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        let (phase, _) = watch::channel(Phase::Serving);
        Self {
            phase: Arc::new(phase),
        }
    }
}

impl Shutdown {
    /// The phase at this moment.
    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves on to `phase`; nothing happens if that lies behind.
    pub(crate) fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let ahead = phase > *current;
            if ahead {
                *current = phase;
            }
            ahead
        });
    }

    /// Returns once the node is in `phase` or beyond.
    pub(crate) async fn reached(&self, phase: Phase) {
        let mut watch = self.phase.subscribe();
        // Cannot fail: `self` keeps the sender.
        let _ = watch.wait_for(|current| *current >= phase).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
