//! The driver of the schedule: one lock around the machine, one timer task, and a permit that gives
//! itself back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use fetchway_policy::guard::HostPattern;
use fetchway_policy::schedule::{
    AccountId, AccountLimits, AccountStats, Event, LaneStats, OriginId, Request, Schedule,
    Submitted, Ticket,
};
use fetchway_policy::{ErrorName, FetchError, LaneConfig, OriginLimits};
use tokio::sync::{Notify, oneshot};

/// Who may start when.
pub(crate) struct Gate {
    state: Mutex<State>,
    /// The timer's deadline may have moved.
    moved: Arc<Notify>,
    limits: Vec<(HostPattern, OriginLimits)>,
    default: OriginLimits,
}

struct State {
    schedule: Schedule,
    waiting: HashMap<Ticket, oneshot::Sender<bool>>,
    /// By key: the id, and whoever uses it. One that nobody uses stays until the schedule lets it
    /// go, as a Retry-After may outlive its connections.
    origins: HashMap<Box<str>, (OriginId, Weak<Origin>)>,
    /// What the timer sleeps for.
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
                // One that no longer listens drops its permit by itself.
                let _ = tell.send(granted);
            }
        }
    }
}

/// An origin's place in the schedule, known to it as long as anybody holds this.
pub(crate) struct Origin {
    id: OriginId,
}

/// Leave to perform one fetch; given back when dropped.
pub(crate) struct Permit {
    gate: Arc<Gate>,
    ticket: Ticket,
    paused: bool,
}

/// A place in the queues, or leave already; dropping it gives it up.
pub(crate) struct Turn {
    /// Of the ticket, granted or not.
    permit: Permit,
    /// Whether it was granted; none if it was at once.
    told: Option<oneshot::Receiver<bool>>,
}

impl Turn {
    /// Waits for it to come.
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

/// A fetch that asks for leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    pub(crate) lane: usize,
    pub(crate) account: AccountId,
    pub(crate) bytes: usize,
    /// It had leave before, for an earlier hop or try.
    pub(crate) again: bool,
}

impl Gate {
    /// Must be called within a tokio runtime: it starts the timer task, which ends with the gate.
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The origin called `key` (scheme, host, port), whose limits follow from its `host`.
    pub(crate) fn origin(&self, key: &str, host: &str) -> Arc<Origin> {
        let mut state = self.state();
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
        self.state().schedule.open_account(limits)
    }

    pub(crate) fn close_account(&self, account: AccountId) {
        self.state().schedule.close_account(account);
    }

    pub(crate) fn lane_stats(&self, lane: usize) -> LaneStats {
        self.state().schedule.lane_stats(lane)
    }

    pub(crate) fn account_stats(&self, account: AccountId) -> AccountStats {
        self.state().schedule.account_stats(account)
    }

    /// Keeps an origin from being dispatched to for a time.
    pub(crate) fn slow(&self, origin: &Origin, wait: Duration) {
        self.act(|schedule, now| schedule.slow_origin(origin.id, now + wait, now));
    }

    /// Takes a place in the queues of the fetch's lane and origin, behind those of its account that
    /// have one.
    pub(crate) fn ask(
        self: &Arc<Self>,
        origin: &Origin,
        asking: Asking,
    ) -> Result<Turn, FetchError> {
        let request = Request {
            lane: asking.lane,
            origin: origin.id,
            account: asking.account,
            bytes: asking.bytes,
            again: asking.again,
        };
        let mut state = self.state();
        let (ticket, told) = match state.schedule.submit(now(), &request) {
            Submitted::Granted(ticket) => (Ok(ticket), None),
            Submitted::Queued(ticket) => {
                let (tell, told) = oneshot::channel();
                state.waiting.insert(ticket, tell);
                (Ok(ticket), Some(told))
            }
            Submitted::Refused(error) => (Err(error), None),
        };
        // Time that had passed may have granted others.
        self.settle(&mut state);
        let permit = Permit {
            gate: self.clone(),
            ticket: ticket?,
            paused: false,
        };
        Ok(Turn { permit, told })
    }

    /// Leave for a fetch, if it need not wait for it.
    pub(crate) fn now(self: &Arc<Self>, origin: &Origin, asking: Asking) -> Option<Permit> {
        // Who must wait gives the place up again, by the turn's drop.
        let turn = self.ask(origin, asking).ok()?;
        turn.told.is_none().then_some(turn.permit)
    }

    /// Does something with the schedule and tells whom it concerns.
    fn act<T>(&self, act: impl FnOnce(&mut Schedule, Instant) -> T) -> T {
        let mut state = self.state();
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

    /// Forgets the origins that nobody holds.
    pub(crate) fn sweep(&self) {
        let state = &mut *self.state();
        let at = now();
        let schedule = &mut state.schedule;
        state.origins.retain(|_, (id, origin)| {
            origin.strong_count() > 0 || !schedule.forget_origin(*id, at)
        });
    }
}

/// tokio's clock, so that a test may stop it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn timer(gate: Weak<Gate>, moved: Arc<Notify>) {
    loop {
        let deadline = {
            let Some(gate) = gate.upgrade() else { return };
            let mut state = gate.state();
            state.schedule.poll(now());
            // Armed before it settles, which would otherwise wake this very task, for ever.
            state.armed = state.schedule.next_deadline();
            gate.settle(&mut state);
            state.armed
        };
        match deadline {
            None => moved.notified().await,
            Some(at) => {
                // Either the time has come or it has moved; both mean to look again.
                let _ = tokio::time::timeout_at(at.into(), moved.notified()).await;
            }
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // The timer wakes, finds the gate gone and ends.
        self.moved.notify_one();
    }
}

impl Permit {
    /// Tells the schedule whether the fetch's own reader has stopped: its permit may be lent.
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
        let mut state = self.gate.state();
        state.waiting.remove(&self.ticket);
        state.schedule.finish(self.ticket, now());
        self.gate.settle(&mut state);
    }
}

#[cfg(test)]
mod tests;
