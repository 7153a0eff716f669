//! The end of a gateway: clients are closed one after the other, and the API gets all of their messages.

use std::sync::Arc;

use fetchway_service::{Phase, Work};
use tokio::time::{Instant, sleep_until};

use crate::client::Lifecycle;

/// Waits until the node drains. Then closes the clients with 1012, spread over the configured time, and waits
/// until the API has received all of their messages and ends. Clients that are left when the node closes are
/// disconnected.
pub(crate) async fn drain(life: Arc<Lifecycle>, mut work: Work) {
    work.reached(Phase::Draining).await;
    tokio::select! {
        biased;
        () = work.reached(Phase::Closing) => {
            for connection in life.table.all() {
                life.disconnect(&connection);
            }
        }
        () = close_all(&life) => {}
    }
    life.telemetry.log.flush();
}

async fn close_all(life: &Lifecycle) {
    let began = Instant::now();
    let all = life.table.all();
    let pause = life.config.drain_spread / u32::try_from(all.len()).unwrap_or(u32::MAX).max(1);
    for (at, connection) in (0u32..).zip(all) {
        // A client that has gone by itself takes none of the time.
        if !connection.has_ended() {
            sleep_until(began + pause * at).await;
            life.dismiss(&connection);
        }
    }
    life.table.until_empty().await;
}
