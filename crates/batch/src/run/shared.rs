//! State that the tasks of a run share with those who watch it.

use std::sync::Arc;
use std::time::Duration;

use fetchway_dispatch::{Dispatch, StrictWindow};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::clock::Clock;
use super::fetch::Fetch;
use super::progress::Progress;

/// A request that was handed to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Time of the handover, in microseconds since the Unix epoch.
    pub at: u64,
    /// True unless it is the first request of its item: a retry, a redirect, or a resend on another connection.
    pub repeated: bool,
}

/// Called for each request as it is handed to its connection; in a strict run in order. Must not block.
pub type OnSent = Arc<dyn Fn(Sent) + Send + Sync>;

/// State of one run.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    state: Mutex<State>,
    pub(crate) strict: Option<Mutex<StrictWindow>>,
    on_sent: Option<OnSent>,
    /// Wakes the timer: its deadline may have moved, or the run is over.
    pub(crate) timer: Notify,
    /// Wakes the reader: there is room for more items, or the run was stopped.
    pub(crate) room: Notify,
}

/// The part of the state that is behind the lock.
pub(crate) struct State {
    pub(crate) dispatch: Dispatch<Fetch>,
    /// Counts so far. The other fields of the progress are filled in when it is asked for.
    pub(crate) tally: Progress,
    /// Deadline of the timer.
    pub(crate) armed: Option<Duration>,
    /// The reader waits for room.
    pub(crate) reader_waits: bool,
}

impl Shared {
    pub(crate) fn new(
        dispatch: Dispatch<Fetch>,
        strict: Option<StrictWindow>,
        on_sent: Option<OnSent>,
    ) -> Self {
        Self {
            clock: Clock::start(),
            state: Mutex::new(State {
                dispatch,
                tally: Progress::default(),
                armed: None,
                reader_waits: false,
            }),
            strict: strict.map(Mutex::new),
            on_sent,
            timer: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Returns the progress of the run at this moment.
    pub(crate) fn progress(&self) -> Progress {
        let state = self.state();
        let (dispatch, now) = (&state.dispatch, self.clock.now());
        Progress {
            elapsed: now,
            in_flight: dispatch.in_flight(),
            aside: dispatch.aside(),
            slowed: dispatch.slowed_origins(now),
            allowed: dispatch.allowed_rate(),
            slipped: dispatch.slips(),
            untaken: dispatch.untaken_time(now),
            stopped: dispatch.is_stopped(),
            ..state.tally
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Reports a request that is handed to its connection.
    pub(crate) fn report_sent(&self, now: Duration, repeated: bool) {
        if let Some(on_sent) = &self.on_sent {
            let at = self.clock.epoch(now);
            on_sent(Sent { at, repeated });
        }
    }

    /// This many outcomes were taken: their places are free.
    pub(crate) fn handle_taken(&self, count: usize) {
        let mut state = self.state();
        state.dispatch.handle_taken(count, self.clock.now());
        self.wake(&mut state);
    }

    /// Wakes the tasks that a change concerns.
    pub(crate) fn wake(&self, state: &mut State) {
        if state.reader_waits && state.dispatch.is_worth_reading() {
            state.reader_waits = false;
            self.room.notify_one();
        }
        let next = state.dispatch.next_at();
        let earlier = next.is_some_and(|at| state.armed.is_none_or(|armed| at < armed));
        if earlier {
            state.armed = next;
        }
        if earlier || state.dispatch.is_over() {
            self.timer.notify_one();
        }
    }

    /// Stops the run: nothing more is sent.
    pub(crate) fn stop(&self) {
        self.state().dispatch.handle_stop();
        self.room.notify_one();
        self.timer.notify_one();
    }
}
