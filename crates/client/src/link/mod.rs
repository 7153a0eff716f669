//! A link: one of a relay's sockets, from being needed to being gone.
//!
//! ```text
//!          needed              open                 lost, and the relay keeps it
//!   Idle ─────────▶ Dialing ─────────▶ Live (a session) ──────▶ Live, parked ──┐
//!    ▲                 │ failed: again     │   ▲                               │
//!    └─────────────────┴── nobody waits    │   └──────────── resumed ──────────┤
//!    ▲                                     │ over, leaving                     │ not in time
//!    └─────────────────────────────────────┴───────────────────────────────────┘
//! ```
//!
//! Read `target`, `connect`, `dial` and `unreached` (opening a socket, or not), `run` (the task behind a link), `drive` (one socket:
//! reader and writer), then the two that a socket can speak for: `line` with `slot`, `stream`,
//! `speak` and `ration` (the binary encoding), and `text` (JSON). `socket` is what both owe to a WebSocket.

mod connect;
mod dial;
mod drive;
mod line;
mod ration;
mod run;
mod slot;
mod socket;
mod speak;
mod stream;
mod target;
mod text;
mod unreached;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fetchway_policy::retry;
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub(crate) use line::Line;
pub(crate) use slot::Failure;
pub(crate) use stream::{Enough, Intake, Rest, Stream};
pub(crate) use target::{Target, tls_config};
pub(crate) use text::{MAX_REQUEST, Pending, Text, failed, line, too_long, whole};
pub(crate) use unreached::Unreached;

use crate::builder::Settings;
use crate::error::Error;
use crate::queue::Queue;

/// What fetches travel by.
#[derive(Clone)]
pub(crate) enum Carrier {
    Line(Arc<Line>),
    Text(Arc<Text>),
}

impl Carrier {
    pub(crate) fn load(&self) -> usize {
        match self {
            Self::Line(line) => line.load(),
            Self::Text(text) => text.load(),
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::Line(line) => line.has_room(),
            Self::Text(text) => text.has_room(),
        }
    }

    fn is_leaving(&self) -> bool {
        match self {
            Self::Line(line) => line.is_leaving(),
            Self::Text(text) => text.is_leaving(),
        }
    }

    /// Whether it is between two sockets.
    fn is_parked(&self) -> bool {
        match self {
            Self::Line(line) => line.is_parked(),
            Self::Text(_) => false,
        }
    }

    fn was_useful(&self) -> bool {
        match self {
            Self::Line(line) => line.was_useful(),
            Self::Text(text) => text.was_useful(),
        }
    }

    fn close_when_idle(&self) {
        match self {
            Self::Line(line) => line.close_when_idle(),
            Self::Text(text) => text.close_when_idle(),
        }
    }
}

enum Phase {
    Idle,
    Dialing,
    Live(Carrier),
}

struct State {
    phase: Phase,
    /// Which task the phase belongs to: one whose session leaves goes on without the link.
    task: u64,
    /// Dials that failed, or sessions that did nothing, in a row.
    failures: u32,
    not_before: Option<Instant>,
    /// Why the relay could not be reached the last time.
    error: Option<Unreached>,
    /// The same for those who watch, or why its last session was lost: until another is open.
    trouble: Option<Error>,
    closed: bool,
    /// The task, while it dials.
    dialing: Option<AbortHandle>,
}

/// One of a relay's sockets.
pub(crate) struct Link {
    pub(crate) relay: usize,
    pub(crate) target: Arc<Target>,
    settings: Arc<Settings>,
    queue: Arc<Queue>,
    state: Mutex<State>,
}

impl Link {
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
                error: None,
                trouble: None,
                closed: false,
                dialing: None,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What fetches can travel by, if the link is open. A session that takes no more is let go.
    pub(crate) fn carrier(&self) -> Option<Carrier> {
        let mut state = self.lock();
        let Phase::Live(carrier) = &state.phase else {
            return None;
        };
        if carrier.has_room() || !carrier.is_leaving() {
            return Some(carrier.clone());
        }
        self.release(&mut state);
        None
    }

    /// Whether fetches travel by it now.
    pub(crate) fn is_open(self: &Arc<Self>) -> bool {
        self.carrier().is_some_and(|carrier| !carrier.is_parked())
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.lock().phase, Phase::Idle)
    }

    /// Why the relay could not be reached the last time, since when it has not been.
    pub(crate) fn error(&self) -> Option<Unreached> {
        self.lock().error.clone()
    }

    /// Why it is not open, as far as that is known: it could not be reached, or was lost.
    pub(crate) fn trouble(&self) -> Option<Error> {
        self.lock().trouble.clone()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Opens it, unless that is under way. `alive` is held until all that comes of it has ended, by
    /// itself or because `true` came.
    pub(crate) fn open(self: &Arc<Self>, alive: &watch::Receiver<bool>) {
        let mut state = self.lock();
        if state.closed || !matches!(state.phase, Phase::Idle) {
            return;
        }
        state.phase = Phase::Dialing;
        state.error = None;
        state.task += 1;
        let task = run::Task::new(Arc::clone(self), state.task);
        let mut alive = alive.clone();
        // The lock is held: the task has no say before its handle is here.
        let handle = tokio::spawn(async move {
            tokio::select! {
                () = task.run() => {}
                Ok(_) = alive.wait_for(|ended| *ended) => {}
                // The client is gone, and its sockets end with their last fetches.
            }
        });
        state.dialing = Some(handle.abort_handle());
    }

    /// Opens nothing more, and closes what is open when its last fetch has ended.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let dialing = state.dialing.take();
        let live = match &state.phase {
            Phase::Live(carrier) => Some(carrier.clone()),
            _ => None,
        };
        // Its end asks for the lock.
        drop(state);
        if let Some(carrier) = live {
            carrier.close_when_idle();
        } else if let Some(dialing) = dialing {
            dialing.abort();
        }
    }

    /// The session is not ours any more. If it was of no use, the next dial waits longer.
    fn release(&self, state: &mut State) {
        if let Phase::Live(carrier) = &state.phase {
            if carrier.was_useful() {
                (state.failures, state.not_before) = (0, None);
            } else {
                self.postpone(state);
            }
        }
        state.phase = Phase::Idle;
    }

    /// Something went wrong: the next dial waits longer.
    fn postpone(&self, state: &mut State) {
        state.failures = state.failures.saturating_add(1);
        let pause = self.pause(state.failures);
        state.not_before = Some(Instant::now() + pause);
    }

    fn pause(&self, failures: u32) -> Duration {
        retry::backoff(&self.settings.backoff, failures, rand::random())
    }
}
