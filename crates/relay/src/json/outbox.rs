//! The queue of answers and control frames that wait to be written to a session's socket.
//!
//! An answer with a body has its bytes reserved in the byte budget. Refusals and failures are small and
//! reserve nothing, so beyond [`LOOSE_BYTES`] of them the reader stops until the client reads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use fetchway_fetch::Hold;
use fetchway_wire::json::Answer;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Bytes of answers without a reservation beyond which nothing more is read from the client.
pub(crate) const LOOSE_BYTES: usize = 1 << 20;

/// Memory of an answer beside its id, header fields and body, in bytes.
pub(crate) const ANSWER_WEIGHT: usize = 512;

/// An answer that waits, with the reservation of its bytes.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) answer: Answer,
    pub(crate) hold: Option<Hold>,
}

impl Waiting {
    /// Returns the memory of an answer without a reservation, in bytes; 0 for other answers.
    pub(crate) fn loose(&self) -> usize {
        match self.hold {
            Some(_) => 0,
            None => ANSWER_WEIGHT + self.answer.id.as_json().len(),
        }
    }
}

/// All that waits, as the writer takes it.
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
    /// Set while the writer has a batch that is not written yet.
    taken: bool,
}

/// The queue between a session's fetches and its writer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
    drained: Notify,
    emptied: Notify,
    /// Set while the writer has bytes that the socket does not take.
    pub(crate) blocked: AtomicBool,
}

impl Outbox {
    fn put(&self, put: impl FnOnce(&mut Queue)) {
        put(&mut self.queue.lock());
        self.filled.notify_one();
    }

    pub(crate) fn answer(&self, waiting: Waiting) {
        self.put(|queue| {
            queue.loose += waiting.loose();
            queue.batch.answers.push_back(waiting);
        });
    }

    /// Answers a ping. If several pings come before one is answered, only the last one is (RFC 6455
    /// section 5.5.3).
    pub(crate) fn pong(&self, payload: Bytes) {
        self.put(|queue| queue.batch.pong = Some(payload));
    }

    pub(crate) fn ping(&self) {
        self.put(|queue| queue.batch.ping = true);
    }

    /// Requests a Close frame, after which nothing is written. Only the first request counts.
    pub(crate) fn close(&self, payload: Vec<u8>) {
        self.put(|queue| {
            queue.batch.close.get_or_insert(payload);
        });
    }

    /// Takes everything that waits, as soon as there is anything.
    pub(crate) async fn take(&self) -> Batch {
        loop {
            {
                let mut queue = self.queue.lock();
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

    /// Returns true if everything has been written.
    pub(crate) fn is_empty(&self) -> bool {
        let queue = self.queue.lock();
        !queue.taken && queue.batch.is_empty()
    }

    /// Returns after a moment at which everything had been written. More may wait again by then.
    pub(crate) async fn emptied(&self) {
        self.emptied.notified().await;
    }

    /// Records that answers with `loose` bytes without a reservation have been written.
    pub(crate) fn written(&self, loose: usize) {
        let mut queue = self.queue.lock();
        queue.loose -= loose;
        if queue.loose <= LOOSE_BYTES {
            self.drained.notify_one();
        }
    }

    /// Returns true if too many bytes without a reservation wait.
    pub(crate) fn is_over(&self) -> bool {
        self.queue.lock().loose > LOOSE_BYTES
    }

    /// Waits until the client has read enough.
    pub(crate) async fn below(&self) {
        while self.is_over() {
            self.drained.notified().await;
        }
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }
}
