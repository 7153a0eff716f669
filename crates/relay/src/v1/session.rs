//! A binary session: the state machine behind one lock, the fetches in progress, and the current socket.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fetchway_fetch::Account;
use fetchway_service::{Place, Principal, StreamServices};
use fetchway_wire::v1::{self, TOKEN};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::socket::Socket;
use super::upload::Upload;

/// The session of one client, which outlives its sockets.
pub(crate) struct Session {
    pub(super) account: Account,
    pub(super) principal: Principal,
    /// Services of node streams.
    pub(super) services: StreamServices,
    state: Mutex<State>,
    /// The fetches in progress, behind a lock of their own: fetches begin while others are answered.
    running: Mutex<Fetches>,
    /// Bytes that the machine holds for the client, as of the last call of `act`.
    held: AtomicU64,
    /// Held while a message is handled, so that messages of an older socket are handled first.
    turn: Mutex<()>,
    /// Number of sockets so far. The task of an older socket sees by it that the socket was replaced.
    pub(super) sockets: watch::Sender<u64>,
    /// Notified when the session must end although its time has not run out.
    pub(super) evicted: Notify,
}

/// The part of a session behind its lock.
pub(crate) struct State {
    pub(super) machine: v1::Session,
    pub(super) socket: Option<Arc<Socket>>,
    /// Tokens with which the session can be resumed, the newest last.
    pub(super) tokens: Vec<[u8; TOKEN]>,
    /// The session's place among the sessions of its credential, until the session is over.
    place: Option<Place>,
    /// Set when the session can no longer be resumed.
    pub(super) over: bool,
}

impl State {
    /// Marks the session as over. Returns its place, unless it was over before.
    pub(super) fn finish(&mut self) -> Option<Place> {
        (self.over, self.socket) = (true, None);
        self.place.take()
    }

    /// Returns true if `socket` is still the session's socket.
    pub(super) fn is_on(&self, socket: &Arc<Socket>) -> bool {
        let current = self.socket.as_ref();
        current.is_some_and(|current| Arc::ptr_eq(current, socket))
    }
}

/// The fetches in progress.
#[derive(Default)]
pub(crate) struct Fetches {
    pub(super) by_stream: HashMap<u64, Running>,
    /// Set when no new fetch may begin.
    pub(super) closed: bool,
}

/// A fetch in progress.
pub(crate) struct Running {
    pub(super) task: AbortHandle,
    /// The request's body, while the client still sends it.
    pub(super) upload: Option<Arc<Upload>>,
}

/// Returns the time for the state machine, from tokio's clock, which a test may stop.
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
        self.state.lock()
    }

    /// Waits for the turn to handle a message.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// Changes the state, and wakes the tasks that wait for the change.
    pub(super) fn act<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let (done, wakers, socket) = {
            let mut state = self.lock();
            let done = act(&mut state);
            self.held.store(state.machine.held(), Ordering::Relaxed);
            let wants = state.machine.wants_transmit(now());
            let socket = state.socket.as_ref().filter(|_| wants).cloned();
            (done, state.machine.take_wakers(), socket)
        };
        // After the lock is free, because a woken task may need it.
        wakers.into_iter().for_each(std::task::Waker::wake);
        if let Some(socket) = socket {
            socket.changed.notify_one();
        }
        done
    }

    /// The fetches in progress.
    pub(super) fn running(&self) -> MutexGuard<'_, Fetches> {
        self.running.lock()
    }

    /// Returns true if the session certainly has room for one more piece of an answer. The stream may still
    /// have none.
    pub(super) fn is_roomy(&self) -> bool {
        self.held.load(Ordering::Relaxed) < self.principal.limits.answers as u64
    }

    /// Ends the session if `socket` is still its socket. Returns true for the one caller that ended it.
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

    /// Ends the session if it has no socket, and notifies the task that waits for one. Returns its place.
    pub(super) fn evict(&self) -> Option<Place> {
        let mut state = self.lock();
        if state.socket.is_some() || state.over {
            return None;
        }
        self.evicted.notify_one();
        state.finish()
    }

    /// Ends every fetch of a session that is over, without an answer.
    pub(super) fn abort(&self) {
        let running = {
            let mut running = self.running();
            running.closed = true;
            std::mem::take(&mut running.by_stream)
        };
        for running in running.into_values() {
            running.task.abort();
        }
    }
}
