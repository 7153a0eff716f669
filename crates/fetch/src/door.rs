//! The last thing before a request goes out: whoever paces requests exactly lets it pass here, with its
//! connection in hand. Lanes pace what is dispatched; a new connection may take its time after that.

use tokio::time::{Instant, sleep_until};

/// Asked right before each request of a fetch is handed to its connection: redirect hops and resends
/// are requests too.
pub trait Door: Sync {
    /// Passes now, or is to ask again at the time given.
    fn pass(&self) -> Option<Instant>;
}

/// Returns when it has passed.
pub(crate) async fn open(door: &dyn Door) {
    while let Some(at) = door.pass() {
        sleep_until(at).await;
    }
}
