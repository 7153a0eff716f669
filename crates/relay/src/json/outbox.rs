//! What waits to be written to a session's socket.
//!
//! Answers with a body hold room in the byte budget. Refusals and failures are small and hold none:
//! beyond [`LOOSE_BYTES`] of them the reader stops, so a client that never reads is no longer read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fetchway_fetch::Hold;
use fetchway_wire::json::Answer;
use tokio::sync::Notify;

/// Bytes of answers without room in the budget beyond which nothing more is read from the client.
pub(crate) const LOOSE_BYTES: usize = 1 << 20;

/// Memory of an answer beside its id, header fields and body, in bytes.
pub(crate) const ANSWER_WEIGHT: usize = 512;

/// One answer, and its room in the budget.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) answer: Answer,
    pub(crate) hold: Option<Hold>,
}

impl Waiting {
    fn loose(&self) -> usize {
        match self.hold {
            Some(_) => 0,
            None => ANSWER_WEIGHT + self.answer.id.as_json().len(),
        }
    }
}

/// What the writer takes at a time.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) answers: VecDeque<Waiting>,
    pub(crate) pong: Option<Bytes>,
    pub(crate) ping: bool,
    pub(crate) close: Option<Vec<u8>>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.pong.is_none() && !self.ping && self.close.is_none()
    }
}

#[derive(Debug, Default)]
struct Queue {
    batch: Batch,
    loose: usize,
    /// The writer has a batch in hand.
    taken: bool,
}

/// The queue between a session's fetches and its writer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
    drained: Notify,
    emptied: Notify,
    /// The writer has bytes that the socket does not take.
    pub(crate) blocked: AtomicBool,
}

impl Outbox {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, put: impl FnOnce(&mut Queue)) {
        put(&mut self.queue());
        self.filled.notify_one();
    }

    pub(crate) fn answer(&self, waiting: Waiting) {
        self.put(|queue| {
            queue.loose += waiting.loose();
            queue.batch.answers.push_back(waiting);
        });
    }

    /// Of pings that came faster than they could be answered only the last one is, as RFC 6455
    /// section 5.5.3 allows.
    pub(crate) fn pong(&self, payload: Bytes) {
        self.put(|queue| queue.batch.pong = Some(payload));
    }

    pub(crate) fn ping(&self) {
        self.put(|queue| queue.batch.ping = true);
    }

    /// The last thing to be written; the first one given stays.
    pub(crate) fn close(&self, payload: Vec<u8>) {
        self.put(|queue| {
            queue.batch.close.get_or_insert(payload);
        });
    }

    /// Takes all there is; waits until there is something.
    pub(crate) async fn take(&self) -> Batch {
        loop {
            {
                let mut queue = self.queue();
                queue.taken = !queue.batch.is_empty();
                if queue.taken {
                    return std::mem::take(&mut queue.batch);
                }
            }
            self.emptied.notify_one();
            self.filled.notified().await;
            // Fetches that have become ready at the same time end first, and share the system call.
            tokio::task::yield_now().await;
        }
    }

    /// Whether all that was put here has been written.
    pub(crate) fn is_empty(&self) -> bool {
        let queue = self.queue();
        !queue.taken && queue.batch.is_empty()
    }

    /// Waits for a moment at which all has been written; it may be one that has passed.
    pub(crate) async fn emptied(&self) {
        self.emptied.notified().await;
    }

    /// An answer has been written.
    pub(crate) fn written(&self, loose: usize) {
        let mut queue = self.queue();
        queue.loose -= loose;
        if queue.loose <= LOOSE_BYTES {
            self.drained.notify_one();
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.queue().loose > LOOSE_BYTES
    }

    /// Waits until the client has read enough of what it was told.
    pub(crate) async fn below(&self) {
        while self.is_over() {
            self.drained.notified().await;
        }
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }
}

/// The loose weight of an answer, to be given to [`Outbox::written`] once it has been.
pub(crate) fn loose(waiting: &Waiting) -> usize {
    waiting.loose()
}
