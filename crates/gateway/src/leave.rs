//! The end of a gateway: clients are sent away one after the other, and the API hears of all of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fetchway_ws::CloseCode;
use tokio::time::Instant;

use crate::conn::Conn;
use crate::gateway::{Gateway, Inner};
use crate::traffic::EOF;

/// Close code: the service restarts, come again (RFC 6455's registry).
const RESTART: CloseCode = CloseCode::Private(1012);

/// How often it is looked whether all is drained.
const LOOK: Duration = Duration::from_millis(20);

impl Gateway {
    /// Takes no more clients, closes them with 1012 spread over the configured time, and waits until
    /// the API has heard of all that they have sent and of their ends. Gives whether that was so within
    /// `grace`.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        let inner = &self.0;
        inner.leaving.store(true, Ordering::Relaxed);
        let until = Instant::now() + grace;
        let all = inner.table.all();
        let spread = inner.config.drain_spread.min(grace / 2);
        let pause = spread / u32::try_from(all.len()).unwrap_or(u32::MAX).max(1);
        let began = Instant::now();
        for (at, conn) in (0u32..).zip(all) {
            // Who has gone by itself takes none of the time.
            if conn.has_ended() {
                continue;
            }
            tokio::time::sleep_until(began + pause * at).await;
            inner.send_away(&conn);
        }
        while !inner.table.is_empty() && Instant::now() < until {
            tokio::time::sleep(LOOK).await;
        }
        inner.tell_all_troubles();
        inner.table.is_empty()
    }

    /// Cuts off what is left.
    pub fn abort(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
        for conn in self.0.table.all() {
            self.0.gone(&conn, EOF);
        }
    }
}

impl Inner {
    pub(crate) fn send_away(self: &Arc<Self>, conn: &Arc<Conn>) {
        self.close(conn, RESTART, "this gateway restarts");
    }
}
