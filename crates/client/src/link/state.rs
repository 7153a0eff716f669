//! A link and its phase.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use fetchway_policy::retry;
use parking_lot::{Mutex, MutexGuard};
use tokio::task::AbortHandle;

use super::binary::BinarySession;
use super::json::JsonSession;
use super::session::{Core, SessionState as _};
use super::target::Target;
use super::unreached::Unreached;
use crate::error::Error;
use crate::queue::Queue;
use crate::settings::Settings;

/// An open session with a relay, in the encoding that the relay agreed to.
#[derive(Clone)]
pub(crate) enum RelaySession {
    Binary(Arc<BinarySession>),
    Json(Arc<JsonSession>),
}

impl RelaySession {
    /// Returns the number of open fetches.
    pub(crate) fn load(&self) -> usize {
        match self {
            Self::Binary(session) => session.load(),
            Self::Json(session) => session.load(),
        }
    }

    /// Returns true if one more fetch fits.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::Binary(session) => session.has_room(),
            Self::Json(session) => session.has_room(),
        }
    }

    fn with_core<T>(&self, act: impl FnOnce(&mut Core) -> T) -> T {
        match self {
            Self::Binary(session) => act(session.lock().core_mut()),
            Self::Json(session) => act(session.lock().core_mut()),
        }
    }

    /// Closes the socket once the last fetch has ended.
    fn close_when_idle(&self) {
        let writer = self.with_core(|core| {
            core.closing = true;
            core.socket.take_writer()
        });
        writer.into_iter().for_each(Waker::wake);
    }
}

pub(super) enum Phase {
    Idle,
    Dialing,
    Live(RelaySession),
}

pub(super) struct State {
    pub(super) phase: Phase,
    /// Number of the task that the phase belongs to. A task whose session the relay leaves continues
    /// without the link.
    pub(super) task: u64,
    /// Consecutive dials that failed, and sessions that ended before the relay sent anything about a fetch.
    failures: u32,
    pub(super) not_before: Option<Instant>,
    /// Why the last dial failed. Cleared when the next dial begins or succeeds.
    pub(super) unreached: Option<Unreached>,
    /// Why the link is not open, for `RelayWatch`: the last dial failed, or the last session was lost.
    /// Cleared only when a session is open.
    pub(super) trouble: Option<Error>,
    pub(super) closed: bool,
    /// The task, while it dials.
    pub(super) dialing: Option<AbortHandle>,
}

/// One of the sockets to a relay.
pub(crate) struct Link {
    /// Index of the relay among those of the client.
    pub(crate) relay: usize,
    pub(crate) target: Arc<Target>,
    pub(super) settings: Arc<Settings>,
    pub(super) queue: Arc<Queue>,
    state: Mutex<State>,
}

impl Link {
    /// Returns a link that is not dialled yet.
    pub(crate) fn new(
        relay: usize,
        target: Arc<Target>,
        settings: Arc<Settings>,
        queue: Arc<Queue>,
    ) -> Arc<Self> {
        Arc::new(Self {
            relay,
            target,
            settings,
            queue,
            state: Mutex::new(State {
                phase: Phase::Idle,
                task: 0,
                failures: 0,
                not_before: None,
                unreached: None,
                trouble: None,
                closed: false,
                dialing: None,
            }),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Returns the open session, if there is one. A session that accepts no more fetches is given up.
    pub(crate) fn session(&self) -> Option<RelaySession> {
        let mut state = self.lock();
        let Phase::Live(session) = &state.phase else {
            return None;
        };
        let is_leaving = |core: &mut Core| core.leaving || core.ended.is_some();
        if session.has_room() || !session.with_core(is_leaving) {
            return Some(session.clone());
        }
        self.give_up_session(&mut state);
        None
    }

    /// Returns true if the link has a session, and the session a socket.
    pub(crate) fn is_open(self: &Arc<Self>) -> bool {
        let session = self.session();
        session.is_some_and(|session| !session.with_core(|core| core.parked))
    }

    /// Returns true if the link has no session and is not being dialled.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.lock().phase, Phase::Idle)
    }

    /// Returns why the last dial failed, if the relay has not been reached since.
    pub(crate) fn unreached(&self) -> Option<Unreached> {
        self.lock().unreached.clone()
    }

    /// Returns why the link is not open, as far as that is known: the last dial failed, or the last session
    /// was lost.
    pub(crate) fn trouble(&self) -> Option<Error> {
        self.lock().trouble.clone()
    }

    /// Returns true once the client is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Ends dialling, and closes an open session once its last fetch has ended.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let dialing = state.dialing.take();
        let live = match &state.phase {
            Phase::Live(session) => Some(session.clone()),
            _ => None,
        };
        // The end of the session takes this lock.
        drop(state);
        if let Some(session) = live {
            session.close_when_idle();
        } else if let Some(dialing) = dialing {
            dialing.abort();
        }
    }

    /// Separates the session from the link. If the relay never sent anything about a fetch, the next dial
    /// waits longer.
    pub(super) fn give_up_session(&self, state: &mut State) {
        if let Phase::Live(session) = &state.phase {
            if session.with_core(|core| core.useful) {
                (state.failures, state.not_before) = (0, None);
            } else {
                self.postpone_dial(state);
            }
        }
        state.phase = Phase::Idle;
    }

    /// Counts a failure: the next dial waits longer.
    pub(super) fn postpone_dial(&self, state: &mut State) {
        state.failures = state.failures.saturating_add(1);
        state.not_before = Some(Instant::now() + self.backoff(state.failures));
    }

    /// Returns a random pause before the next dial, after this many failures.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        retry::backoff(&self.settings.backoff, failures, rand::random())
    }
}
