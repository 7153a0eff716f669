//! The end of a gateway: clients are dismissed one after the other, and the API hears of all of them.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::client::Lifecycle;

/// Takes no more clients, closes those that are there with 1012 spread over the configured time, and waits
/// until the API has heard of all their messages and ends. Returns true if that was so within `grace`.
pub(crate) async fn drain(life: &Lifecycle, grace: Duration) -> bool {
    life.begin_drain();
    let began = Instant::now();
    let all = life.table.all();
    let spread = life.config.drain_spread.min(grace / 2);
    let pause = spread / u32::try_from(all.len()).unwrap_or(u32::MAX).max(1);
    for (at, connection) in (0u32..).zip(all) {
        // A client that has gone by itself takes none of the time.
        if !connection.has_ended() {
            sleep_until(began + pause * at).await;
            life.dismiss(&connection);
        }
    }
    let drained = timeout_at(began + grace, life.table.until_empty()).await;
    life.telemetry.log.flush();
    drained.is_ok()
}

/// Cuts off the clients that are left.
pub(crate) fn abort(life: &Lifecycle) {
    life.begin_drain();
    for connection in life.table.all() {
        life.disconnect(&connection);
    }
}
