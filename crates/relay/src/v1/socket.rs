//! One socket of a session, as the session and the socket's own halves see it.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use fetchway_service::Place;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// One socket of a session.
#[derive(Default)]
pub(crate) struct Socket {
    /// Notified when there is something to write.
    pub(super) changed: Notify,
    control: Mutex<Control>,
    /// Set while the writer has bytes that the socket does not take.
    blocked: AtomicBool,
    /// The socket's place among the sockets without a session, once a newer socket has replaced it.
    place: Mutex<Option<Place>>,
}

/// Control frames that wait for the writer.
#[derive(Default)]
pub(super) struct Control {
    pub(super) pong: Option<Bytes>,
    pub(super) ping: bool,
    /// Payload of the Close frame.
    pub(super) close: Option<Vec<u8>>,
}

impl Socket {
    pub(super) fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock()
    }

    fn put(&self, put: impl FnOnce(&mut Control)) {
        put(&mut self.control());
        self.changed.notify_one();
    }

    pub(super) fn pong(&self, payload: Bytes) {
        self.put(|control| control.pong = Some(payload));
    }

    pub(super) fn ping(&self) {
        self.put(|control| control.ping = true);
    }

    /// Requests a Close frame, after which nothing is written. Only the first request counts.
    pub(super) fn close(&self, payload: Vec<u8>) {
        self.put(|control| {
            control.close.get_or_insert(payload);
        });
    }

    /// Keeps `place` until the socket has ended.
    pub(super) fn keep(&self, place: Option<Place>) {
        *self.place.lock() = place;
    }

    /// Marks whether the writer has bytes that the socket does not take.
    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }
}
