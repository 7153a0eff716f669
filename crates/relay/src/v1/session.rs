//! A binary session: the machine behind one lock, the fetches under way, and the socket at hand.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fetchway_fetch::Account;
use fetchway_service::{Place, Principal, StreamServices};
use fetchway_wire::v1::{self, TOKEN};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::upload::Upload;
use super::writer::Socket;

/// One client's session. It outlives its sockets.
pub(crate) struct Session {
    pub(super) account: Account,
    pub(super) principal: Principal,
    /// Services of node streams.
    pub(super) services: StreamServices,
    state: Mutex<State>,
    /// Its own lock: fetches begin while others are answered.
    running: Mutex<Fetches>,
    /// What the machine holds for the way out, as it was when last looked at.
    held: AtomicU64,
    /// Held while a message is taken and acted on: the one before, of an older socket, comes first.
    turn: Mutex<()>,
    /// Counts the sockets: whoever serves an older one sees that it has been replaced.
    pub(super) sockets: watch::Sender<u64>,
    /// Told when the session is to end though it could be resumed still.
    pub(super) evicted: Notify,
}

/// What the lock guards.
pub(crate) struct State {
    pub(super) machine: v1::Session,
    pub(super) socket: Option<Arc<Socket>>,
    /// What it can be resumed with; the last one is the newest.
    pub(super) tokens: Vec<[u8; TOKEN]>,
    /// Its place among the sessions of its credential, until it is over.
    place: Option<Place>,
    /// It can't be resumed any more.
    pub(super) over: bool,
}

impl State {
    /// The session is over. Gives its place, if it was not before.
    pub(super) fn finish(&mut self) -> Option<Place> {
        (self.over, self.socket) = (true, None);
        self.place.take()
    }

    /// Whether the session is on this socket still.
    pub(super) fn is_on(&self, socket: &Arc<Socket>) -> bool {
        let current = self.socket.as_ref();
        current.is_some_and(|current| Arc::ptr_eq(current, socket))
    }
}

/// The fetches under way.
#[derive(Default)]
pub(crate) struct Fetches {
    pub(super) by_stream: HashMap<u64, Running>,
    /// No new one is begun.
    pub(super) leaving: bool,
}

/// A fetch under way.
pub(crate) struct Running {
    pub(super) task: AbortHandle,
    /// Its body, if that is still coming.
    pub(super) upload: Option<Arc<Upload>>,
}

/// The instant that the machine is told: tokio's clock, so that a test may stop it.
pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
}

impl Session {
    pub(super) fn new(
        account: Account,
        principal: Principal,
        services: StreamServices,
        machine: v1::Session,
        (token, place): ([u8; TOKEN], Place),
    ) -> Self {
        Self {
            account,
            principal,
            services,
            state: Mutex::new(State {
                machine,
                socket: None,
                tokens: vec![token],
                place: Some(place),
                over: false,
            }),
            running: Mutex::default(),
            held: AtomicU64::new(0),
            turn: Mutex::new(()),
            sockets: watch::Sender::new(0),
            evicted: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn to take a message and act on it.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the state, and wakes whom it concerns.
    pub(super) fn act<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let (done, wakers, socket) = {
            let mut state = self.lock();
            let done = act(&mut state);
            self.held.store(state.machine.held(), Ordering::Relaxed);
            let wants = state.machine.wants_transmit(now());
            let socket = state.socket.as_ref().filter(|_| wants).cloned();
            (done, state.machine.take_wakers(), socket)
        };
        // With the lock free again: who is woken may want it.
        wakers.into_iter().for_each(std::task::Waker::wake);
        if let Some(socket) = socket {
            socket.changed.notify_one();
        }
        done
    }

    /// The fetches under way.
    pub(super) fn running(&self) -> MutexGuard<'_, Fetches> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the session surely has room for one more piece of an answer; that its stream has is
    /// another matter.
    pub(super) fn is_roomy(&self) -> bool {
        self.held.load(Ordering::Relaxed) < self.principal.limits.answers as u64
    }

    /// Ends the session, if it is on this socket still. Of several that end at once, one does it.
    pub(super) fn end(&self, socket: &Arc<Socket>) -> bool {
        let place = {
            let mut state = self.lock();
            if !state.is_on(socket) {
                return false;
            }
            state.finish()
        };
        drop(place);
        self.abort();
        true
    }

    /// Ends the session, if it has no socket: whoever waits for the next one is told. Gives its place.
    pub(super) fn evict(&self) -> Option<Place> {
        let mut state = self.lock();
        if state.socket.is_some() || state.over {
            return None;
        }
        self.evicted.notify_one();
        state.finish()
    }

    /// Ends every fetch of a session that is over; none is told.
    pub(super) fn abort(&self) {
        let running = {
            let mut running = self.running();
            running.leaving = true;
            std::mem::take(&mut running.by_stream)
        };
        for running in running.into_values() {
            running.task.abort();
        }
    }
}
