//! The driver of the schedule: one lock around the machine, one timer task, and permits that return
//! themselves.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use fetchway_policy::guard::HostPattern;
use fetchway_policy::schedule::{
    AccountId, AccountLimits, AccountStats, Event, LaneStats, OriginId, Schedule, Submission,
    Submitted, Ticket,
};
use fetchway_policy::{ErrorName, FetchError, LaneConfig, OriginLimits};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// The gate through which every fetch passes before it starts.
pub(crate) struct Gate {
    state: Mutex<State>,
    /// Notified when the deadline of the timer may have changed.
    moved: Arc<Notify>,
    limits: Vec<(HostPattern, OriginLimits)>,
    default: OriginLimits,
}

struct State {
    schedule: Schedule,
    waiting: HashMap<Ticket, oneshot::Sender<bool>>,
    /// Origins by key, with their id and users. An origin without users stays until the schedule releases
    /// it, because a `Retry-After` may outlive its connections.
    origins: HashMap<Box<str>, (OriginId, Weak<Origin>)>,
    /// Time at which the timer wakes.
    armed: Option<Instant>,
}

impl State {
    fn tell(&mut self) {
        while let Some(event) = self.schedule.next_event() {
            let (ticket, granted) = match event {
                Event::Granted(ticket) => (ticket, true),
                Event::Expired(ticket) => (ticket, false),
            };
            if let Some(tell) = self.waiting.remove(&ticket) {
                // A receiver that is gone drops its permit by itself.
                let _ = tell.send(granted);
            }
        }
    }
}

/// An origin's place in the schedule. The schedule keeps the origin as long as a clone of this exists.
pub(crate) struct Origin {
    id: OriginId,
}

/// Permit to perform one fetch, which returns itself when dropped.
pub(crate) struct Permit {
    gate: Arc<Gate>,
    ticket: Ticket,
    paused: bool,
}

/// A place in the queues, or a permit already. Dropping it gives both up.
pub(crate) struct Turn {
    /// Ticket of the fetch, granted or not.
    permit: Permit,
    /// Result of the wait; `None` if the permit was granted at once.
    told: Option<oneshot::Receiver<bool>>,
}

impl Turn {
    /// Waits for the permit.
    pub(crate) async fn come(self) -> Result<Permit, FetchError> {
        let Some(told) = self.told else {
            return Ok(self.permit);
        };
        match told.await {
            Ok(true) => Ok(self.permit),
            Ok(false) | Err(_) => {
                let detail = "The fetch waited for its turn longer than its lane's queue allows: \
                              send fewer at a time, or raise the lane's rate, concurrency or queue wait.";
                Err(FetchError::new(ErrorName::QueueTimeout, detail))
            }
        }
    }
}

/// A fetch that asks for a permit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    pub(crate) lane: usize,
    pub(crate) account: AccountId,
    pub(crate) bytes: usize,
    /// Set if an earlier hop or try of the fetch had a permit.
    pub(crate) repeated: bool,
}

impl Gate {
    /// Returns a gate. Must be called within a tokio runtime, because it starts the timer task, which ends
    /// with the gate.
    pub(crate) fn new(
        lanes: &[LaneConfig],
        limits: Vec<(HostPattern, OriginLimits)>,
        default: OriginLimits,
    ) -> Arc<Self> {
        let gate = Arc::new(Self {
            state: Mutex::new(State {
                schedule: Schedule::new(lanes),
                waiting: HashMap::new(),
                origins: HashMap::new(),
                armed: None,
            }),
            moved: Arc::new(Notify::new()),
            limits,
            default,
        });
        tokio::spawn(timer(Arc::downgrade(&gate), gate.moved.clone()));
        gate
    }

    /// Returns the origin called `key` (scheme, host, port), whose limits follow from its `host`.
    pub(crate) fn origin(&self, key: &str, host: &str) -> Arc<Origin> {
        let mut state = self.state.lock();
        let known = state.origins.get(key);
        if let Some(origin) = known.and_then(|(_, origin)| origin.upgrade()) {
            return origin;
        }
        let known = known.map(|(id, _)| *id);
        let id = known.unwrap_or_else(|| {
            let limits = self
                .limits
                .iter()
                .find(|(pattern, _)| pattern.matches(host));
            state
                .schedule
                .origin(limits.map_or(self.default, |(_, limits)| *limits))
        });
        let origin = Arc::new(Origin { id });
        state
            .origins
            .insert(key.into(), (id, Arc::downgrade(&origin)));
        origin
    }

    pub(crate) fn open_account(&self, limits: AccountLimits) -> AccountId {
        self.state.lock().schedule.open_account(limits)
    }

    pub(crate) fn close_account(&self, account: AccountId) {
        self.state.lock().schedule.close_account(account);
    }

    pub(crate) fn lane_stats(&self, lane: usize) -> LaneStats {
        self.state.lock().schedule.lane_stats(lane)
    }

    pub(crate) fn account_stats(&self, account: AccountId) -> AccountStats {
        self.state.lock().schedule.account_stats(account)
    }

    /// Prevents dispatches to an origin for a time.
    pub(crate) fn slow(&self, origin: &Origin, wait: Duration) {
        self.act(|schedule, now| schedule.slow_origin(origin.id, now + wait, now));
    }

    /// Takes a place in the queues of the fetch's lane and origin, behind other fetches of its account.
    pub(crate) fn ask(
        self: &Arc<Self>,
        origin: &Origin,
        asking: Asking,
    ) -> Result<Turn, FetchError> {
        let request = Submission {
            lane: asking.lane,
            origin: origin.id,
            account: asking.account,
            bytes: asking.bytes,
            repeated: asking.repeated,
        };
        let mut state = self.state.lock();
        let (ticket, told) = match state.schedule.submit(now(), &request) {
            Submitted::Granted(ticket) => (Ok(ticket), None),
            Submitted::Queued(ticket) => {
                let (tell, told) = oneshot::channel();
                state.waiting.insert(ticket, tell);
                (Ok(ticket), Some(told))
            }
            Submitted::Refused(error) => (Err(error), None),
        };
        // Time may have passed since the last event, and have granted other fetches.
        self.settle(&mut state);
        let permit = Permit {
            gate: self.clone(),
            ticket: ticket?,
            paused: false,
        };
        Ok(Turn { permit, told })
    }

    /// Returns a permit for a fetch, if the fetch need not wait.
    pub(crate) fn now(self: &Arc<Self>, origin: &Origin, asking: Asking) -> Option<Permit> {
        // If the fetch had to wait, dropping the turn gives up its place.
        let turn = self.ask(origin, asking).ok()?;
        turn.told.is_none().then_some(turn.permit)
    }

    /// Changes the schedule, and wakes the fetches concerned.
    fn act<T>(&self, act: impl FnOnce(&mut Schedule, Instant) -> T) -> T {
        let mut state = self.state.lock();
        let done = act(&mut state.schedule, now());
        self.settle(&mut state);
        done
    }

    fn settle(&self, state: &mut State) {
        state.tell();
        let deadline = state.schedule.next_deadline();
        if deadline.is_some_and(|new| state.armed.is_none_or(|armed| new < armed)) {
            state.armed = deadline;
            self.moved.notify_one();
        }
    }

    /// Forgets the origins without users.
    pub(crate) fn sweep(&self) {
        let state = &mut *self.state.lock();
        let at = now();
        let schedule = &mut state.schedule;
        state.origins.retain(|_, (id, origin)| {
            origin.strong_count() > 0 || !schedule.forget_origin(*id, at)
        });
    }
}

/// Returns the time of tokio's clock, which a test may stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn timer(gate: Weak<Gate>, moved: Arc<Notify>) {
    loop {
        let deadline = {
            let Some(gate) = gate.upgrade() else { return };
            let mut state = gate.state.lock();
            state.schedule.poll(now());
            // Registered before the schedule is asked, because asking would otherwise wake this task for
            // ever.
            state.armed = state.schedule.next_deadline();
            gate.settle(&mut state);
            state.armed
        };
        match deadline {
            None => moved.notified().await,
            Some(at) => {
                // The deadline has come, or has changed. Either way the loop asks again.
                let _ = tokio::time::timeout_at(at.into(), moved.notified()).await;
            }
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Wakes the timer task, which then finds that the gate is gone and ends.
        self.moved.notify_one();
    }
}

impl Permit {
    /// Tells the schedule whether the reader of the fetch has stopped. The permit of a stopped reader may
    /// be lent.
    pub(crate) fn set_paused(&mut self, paused: bool) {
        if self.paused != paused {
            self.paused = paused;
            let ticket = self.ticket;
            self.gate.act(|schedule, now| match paused {
                true => schedule.pause(ticket, now),
                false => schedule.resume(ticket, now),
            });
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        state.waiting.remove(&self.ticket);
        state.schedule.finish(self.ticket, now());
        self.gate.settle(&mut state);
    }
}

#[cfg(test)]
mod tests;
