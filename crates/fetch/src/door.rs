//! The last check before a request is sent, for callers that pace requests exactly. Lanes pace dispatches,
//! but a new connection can delay a request after its dispatch.

use tokio::time::{Instant, sleep_until};

/// A door that every request of a fetch passes immediately before it is handed to its connection, redirects
/// and resends included.
pub trait Door: Sync {
    /// Returns `None` if the request may pass now, or the time at which to ask again.
    fn pass(&self) -> Option<Instant>;
}

/// Waits until the request may pass.
pub(crate) async fn open(door: &dyn Door) {
    while let Some(at) = door.pass() {
        sleep_until(at).await;
    }
}
