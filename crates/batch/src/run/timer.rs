//! The task that starts fetches when they become due by time.

use std::sync::Arc;

use super::driver::{Driver, PanicGuard};
use super::perform::Performer;

/// Starts fetches when they become due, until the run is over.
pub(crate) async fn run_timer<P: Performer>(driver: Arc<Driver<P>>) {
    let shared = &driver.shared;
    let _guard = PanicGuard {
        shared,
        in_flight: 0,
    };
    loop {
        let deadline = {
            let mut state = shared.state();
            driver.start_due(&mut state);
            if state.dispatch.is_over() {
                return;
            }
            state.armed = state.dispatch.next_at();
            state.armed
        };
        match deadline {
            None => shared.timer.notified().await,
            Some(at) => {
                // Either the deadline has come or it has moved; both mean to try once more.
                let moved = shared.timer.notified();
                let _ = tokio::time::timeout_at(shared.clock.instant(at), moved).await;
            }
        }
    }
}
