//! The part of a session that both encodings share: a lock around its state, and two counters that are
//! read without the lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::socket::{Liveness, Socket};
use crate::queue::Queue;
use crate::settings::Settings;

/// State of a session in one of the encodings. [`Session`] keeps it behind a lock.
pub(crate) trait SessionState {
    /// Returns the state that both encodings share.
    fn core(&self) -> &Core;

    /// Returns the state that both encodings share, to change it.
    fn core_mut(&mut self) -> &mut Core;

    /// Returns the number of fetches that have not ended.
    fn open_fetches(&self) -> usize;

    /// Returns true if the encoding allows one more fetch.
    fn has_capacity(&self) -> bool;

    /// Ends every fetch that has not ended with [`Failure::Lost`](super::Failure), and adds the wakers of
    /// those who wait for them.
    fn fail_all(&mut self, why: &Arc<str>, wakers: &mut Vec<Waker>);
}

/// State that both encodings share.
#[derive(Debug)]
pub(crate) struct Core {
    /// The control frames of the current socket.
    pub(super) socket: Socket,
    /// True once the relay has sent something about a fetch. The link then dials again without a pause.
    pub(super) useful: bool,
    /// True while the session has no socket, or has one on which the relay has not yet confirmed that the
    /// session continues. Always false over JSON.
    pub(super) parked: bool,
    /// True once the relay has announced that it accepts no more fetches. Always false over JSON.
    pub(super) leaving: bool,
    /// True once the client is closed: the socket is closed after the last fetch.
    pub(super) closing: bool,
    /// Why the session ended, once it has.
    pub(super) ended: Option<Arc<str>>,
}

impl Core {
    /// Returns the state of a session that has just opened its first socket. `greeting_due`: when the
    /// relay's first message must have arrived, if the encoding has one.
    pub(super) fn new(now: Instant, greeting_due: Option<Instant>) -> Self {
        Self {
            socket: Socket::new(now, greeting_due),
            useful: false,
            parked: false,
            leaving: false,
            closing: false,
            ended: None,
        }
    }
}

/// A session with a relay, shared by its fetches and by the task that drives its socket.
///
/// Fetches take the lock to open, read and write; the driver takes it once for each batch of frames that it
/// reads or writes. Wakers are called after the lock is released.
pub(crate) struct Session<S> {
    state: Mutex<S>,
    load: AtomicUsize,
    has_room: AtomicBool,
    pub(super) queue: Arc<Queue>,
    pub(super) liveness: Liveness,
}

impl<S> Session<S> {
    pub(super) fn with_state(state: S, settings: &Settings, queue: Arc<Queue>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(state),
            load: AtomicUsize::new(0),
            has_room: AtomicBool::new(true),
            queue,
            liveness: Liveness {
                ping_every: settings.ping_every,
                dead_after: settings.dead_after,
            },
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, S> {
        self.state.lock()
    }

    /// Returns the number of open fetches, as of the last time the lock was released.
    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Returns true if one more fetch fits, as of the last time the lock was released.
    pub(crate) fn has_room(&self) -> bool {
        self.has_room.load(Ordering::Relaxed)
    }
}

impl<S: SessionState> Session<S> {
    /// Updates the counters that are read without the lock, and returns whether one more fetch fits.
    /// To be called before the lock is released by code that opens or ends fetches.
    pub(super) fn publish(&self, state: &S) -> bool {
        self.load.store(state.open_fetches(), Ordering::Relaxed);
        let core = state.core();
        let has_room = core.ended.is_none() && !core.closing && state.has_capacity();
        self.has_room.store(has_room, Ordering::Relaxed);
        has_room
    }

    /// Releases the lock after fetches have ended: updates the counters, calls `wakers`, and wakes a fetch
    /// that waits for room if there is some.
    pub(super) fn release(
        &self,
        state: MutexGuard<'_, S>,
        wakers: impl IntoIterator<Item = Waker>,
    ) {
        let has_room = self.publish(&state);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        if has_room {
            self.queue.wake_next();
        }
    }

    /// Ends the session: every fetch that has not ended fails. Later calls have no effect.
    pub(super) fn end(&self, why: &str) {
        let mut state = self.lock();
        if state.core().ended.is_some() {
            return;
        }
        let why: Arc<str> = why.into();
        state.core_mut().ended = Some(Arc::clone(&why));
        let mut wakers = Vec::new();
        state.fail_all(&why, &mut wakers);
        self.publish(&state);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        self.queue.wake_next();
    }

    /// Returns when the next waiting fetch is to be woken, if there is room for one.
    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        self.has_room()
            .then(|| self.queue.wake_next_if_late(now))
            .flatten()
    }
}

/// Releases the lock and wakes the socket's writer, which needs the lock at once.
pub(super) fn wake_writer<S: SessionState>(mut state: MutexGuard<'_, S>) {
    let writer = state.core_mut().socket.take_writer();
    drop(state);
    if let Some(writer) = writer {
        writer.wake();
    }
}
