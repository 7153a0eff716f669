//! Starts the fetches that are due, and performs them.
//!
//! A worker is a task that performs a fetch, and then the next one that is due, until none is: at full speed
//! nothing is spawned or woken for an item beside its own connection. The reader, the timer and every worker
//! start further workers when more is due.

use std::sync::Arc;
use std::time::Duration;

use fetchway_dispatch::Pending;
use parking_lot::{Mutex, MutexGuard};
use tokio::task::JoinSet;

use super::attempt::{Performed, Rules, outcome};
use super::fetch::Fetch;
use super::handover::Handover;
use super::outbox::Outbox;
use super::perform::Performer;
use super::shared::{Shared, State};
use crate::outcome::Done;

/// Everything that the tasks of a run share. The outcomes end when the last task is gone.
pub(crate) struct Driver<P: Performer> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) performer: P,
    pub(crate) rules: Rules,
    pub(crate) outbox: Arc<Outbox<P::Hold>>,
    pub(crate) tasks: Arc<Tasks>,
}

/// Tasks of a run; none once its outcomes were dropped and everything ends.
pub(crate) type Tasks = Mutex<Option<JoinSet<()>>>;

/// Stops the run if the task that owns the guard panics. Otherwise the run would wait for that task for ever:
/// for its items, its deadline or its place in flight.
pub(crate) struct PanicGuard<'a> {
    pub(crate) shared: &'a Shared,
    /// Number of fetches in flight that the task performs.
    pub(crate) in_flight: usize,
}

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            {
                let mut state = self.shared.state();
                state.dispatch.handle_lost(self.in_flight);
                state.tally.panicked = true;
            }
            self.shared.stop();
        }
    }
}

impl<P: Performer> Drop for Driver<P> {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

/// Performs a fetch, and the next that is due, until none is.
async fn work<P: Performer>(driver: Arc<Driver<P>>, mut fetch: Box<Pending<Fetch>>) {
    let _guard = PanicGuard {
        shared: &driver.shared,
        in_flight: 1,
    };
    loop {
        let handover = Handover::new(&driver.shared, fetch.tries() > 1);
        let request = &fetch.item.request;
        let performed = driver.performer.perform(request, &handover).await;
        let next = driver.complete(fetch, performed, &handover);
        match next {
            Some(next) => fetch = next,
            None => return,
        }
    }
}

/// Starts fetches when they become due, until the run is over.
pub(crate) async fn run_timer<P: Performer>(driver: Arc<Driver<P>>) {
    let shared = &driver.shared;
    let _guard = PanicGuard {
        shared,
        in_flight: 0,
    };
    loop {
        let deadline = {
            let mut state = shared.state();
            driver.start_due(&mut state);
            if state.dispatch.is_over() {
                return;
            }
            state.armed = state.dispatch.next_at();
            state.armed
        };
        match deadline {
            None => shared.timer.notified().await,
            Some(at) => {
                // Either the deadline has come or it has moved; both mean to try once more.
                let moved = shared.timer.notified();
                let _ = tokio::time::timeout_at(shared.clock.instant(at), moved).await;
            }
        }
    }
}

impl<P: Performer> Driver<P> {
    /// Starts workers for all fetches that are due, and wakes the timer for the rest.
    pub(crate) fn start_due(self: &Arc<Self>, state: &mut State) {
        let now = self.shared.clock.now();
        while let Some(fetch) = state.dispatch.take_due(now) {
            let mut tasks = self.tasks.lock();
            let Some(tasks) = tasks.as_mut() else {
                // Nobody asks for its outcome.
                return;
            };
            state.tally.count_try(fetch.tries());
            while tasks.try_join_next().is_some() {}
            tasks.spawn(Box::pin(work(Arc::clone(self), fetch)));
        }
        self.shared.wake(state);
    }

    /// Counts an outcome and puts it into the outbox. `continues` if the page that it names is fetched.
    pub(crate) fn give(&self, state: &mut State, done: Done<P::Hold>, continues: bool) {
        state.tally.count_outcome(&done.outcome, continues);
        self.outbox.put(done);
    }

    /// Enters the end of a try. Returns the fetch that the same worker performs next, if one is due.
    fn complete(
        self: &Arc<Self>,
        fetch: Box<Pending<Fetch>>,
        performed: Performed<P::Hold>,
        handover: &Handover<'_>,
    ) -> Option<Box<Pending<Fetch>>> {
        let now = self.shared.clock.now();
        let mut state = self.finish(fetch, performed, handover, now);
        let next = state.dispatch.take_due(now);
        if let Some(next) = &next {
            state.tally.count_try(next.tries());
        }
        // There may be more than one.
        self.start_due(&mut state);
        next
    }

    /// Decides about a try that has ended at `now`: the fetch is tried again later, or has its outcome. Returns
    /// the state, locked.
    fn finish(
        &self,
        mut fetch: Box<Pending<Fetch>>,
        performed: Performed<P::Hold>,
        handover: &Handover<'_>,
        now: Duration,
    ) -> MutexGuard<'_, State> {
        let shared = &self.shared;
        let time = (&shared.clock, now);
        let judged = self.rules.judge(&mut fetch, &performed, handover, time);
        {
            let mut state = shared.state();
            state.tally.refused += u64::from(judged.is_refused());
            let sent = handover.sent_at();
            state.dispatch.handle_end(&fetch, sent, &judged.end, now);
            // A stopped run sends nothing again, and has no outcome of a fetch that was returned.
            let returned = judged.returned && state.dispatch.is_stopped();
            if let Some(wait) = judged.retry_after.or(returned.then_some(Duration::ZERO)) {
                state.dispatch.handle_retry(fetch, now, now + wait);
                return state;
            }
        }
        let (next, page) = self.rules.follow(&fetch.item, &performed);
        let origin = fetch.origin();
        let done = outcome(*fetch, performed, next, handover, time);
        let mut state = shared.state();
        // Before a page that the outcome names can be sent: its line comes before that page's.
        self.give(&mut state, done, page.is_some());
        if let Some(page) = page {
            let limits = |page: &Fetch| self.performer.limits(&page.request.url);
            state.dispatch.handle_follow_up(page, now, limits);
        }
        state.dispatch.handle_outcome(origin, now);
        state
    }
}
