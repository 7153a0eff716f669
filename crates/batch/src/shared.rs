//! What the tasks of a run and those who watch it share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::dispatch::Dispatch;
use crate::progress::Tally;
use crate::strict::Strict;

/// A request that is handed to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When: microseconds since the Unix epoch.
    pub at: u64,
    /// Not the first of its item: a retry, a redirect, or sent again on another connection.
    pub again: bool,
}

/// Told of each request as it is handed to its connection; of a strict run, in order. It must not block.
pub type OnSent = Arc<dyn Fn(Sent) + Send + Sync>;

/// One run.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    state: Mutex<State>,
    pub(crate) strict: Option<Mutex<Strict>>,
    pub(crate) on_sent: Option<OnSent>,
    /// The time to look at next may have moved, or all is over.
    pub(crate) moved: Notify,
    /// There is room for more items, or the run was stopped.
    pub(crate) room: Notify,
}

pub(crate) struct State {
    pub(crate) dispatch: Dispatch,
    pub(crate) tally: Tally,
    /// What the timer sleeps for.
    pub(crate) armed: Option<Duration>,
    /// The reader waits for room.
    pub(crate) reader_waits: bool,
}

impl Shared {
    pub(crate) fn new(dispatch: Dispatch, strict: Option<Strict>, on_sent: Option<OnSent>) -> Self {
        Self {
            clock: Clock::start(),
            state: Mutex::new(State {
                dispatch,
                tally: Tally::default(),
                armed: None,
                reader_waits: false,
            }),
            strict: strict.map(Mutex::new),
            on_sent,
            moved: Notify::new(),
            room: Notify::new(),
        }
    }

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        Self::lock(&self.state)
    }

    /// A request is handed to its connection.
    pub(crate) fn hand_over(&self, now: Duration, again: bool) {
        if let Some(on_sent) = &self.on_sent {
            let at = self.clock.epoch(now);
            on_sent(Sent { at, again });
        }
    }

    /// So many outcomes were taken: their places are free.
    pub(crate) fn taken(&self, count: usize) {
        let mut state = self.state();
        state.dispatch.taken(count, self.clock.now());
        self.settle(&mut state);
    }

    /// Wakes whom a change concerns.
    pub(crate) fn settle(&self, state: &mut State) {
        if state.reader_waits && state.dispatch.has_room_again() {
            state.reader_waits = false;
            self.room.notify_one();
        }
        let next = state.dispatch.next_at();
        let earlier = next.is_some_and(|at| state.armed.is_none_or(|armed| at < armed));
        if earlier {
            state.armed = next;
        }
        if earlier || state.dispatch.is_over() {
            self.moved.notify_one();
        }
    }

    /// Nothing more is sent.
    pub(crate) fn stop(&self) {
        self.state().dispatch.stop();
        self.room.notify_one();
        self.moved.notify_one();
    }
}

/// The run's time: monotonic, with the Unix epoch's at its start. tokio's, so that a test may stop it.
pub(crate) struct Clock {
    start: Instant,
    /// Microseconds since the Unix epoch.
    epoch: u64,
}

impl Clock {
    fn start() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            start: Instant::now(),
            epoch: micros(since),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn instant(&self, at: Duration) -> Instant {
        /// As good as never, where a time cannot be written.
        const FAR: Duration = Duration::from_secs(365 * 86_400);
        self.start
            .checked_add(at)
            .unwrap_or_else(|| self.start + FAR)
    }

    pub(crate) fn epoch(&self, at: Duration) -> u64 {
        self.epoch + micros(at)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
