//! An observer that keeps all it hears, and can be waited on.

use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use fetchway_fetch::{Moved, Observer, Outcome};
use tokio::sync::Notify;

/// How one fetch ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) moved: Moved,
}

#[derive(Default)]
struct State {
    started: usize,
    ended: Vec<Ended>,
    opened: usize,
    closed: usize,
}

/// What an engine told.
#[derive(Default)]
pub(crate) struct Count {
    state: Mutex<State>,
    changed: Notify,
}

impl Count {
    pub(crate) fn started(&self) -> usize {
        self.state.lock().unwrap().started
    }

    pub(crate) fn ended(&self) -> Vec<Ended> {
        self.state.lock().unwrap().ended.clone()
    }

    pub(crate) fn last(&self) -> Ended {
        *self.ended().last().expect("a fetch that has ended")
    }

    /// Connections that were ever opened.
    pub(crate) fn opened(&self) -> usize {
        self.state.lock().unwrap().opened
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.opened - state.closed
    }

    pub(crate) async fn wait_until(&self, ready: impl Fn(&Self) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if ready(self) {
                return;
            }
            changed.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_waiters();
    }
}

impl Observer for Count {
    fn fetch_started(&self, _: usize) {
        self.change(|state| state.started += 1);
    }

    fn fetch_ended(&self, _: usize, outcome: Outcome, _: Duration, moved: Moved) {
        self.change(|state| state.ended.push(Ended { outcome, moved }));
    }

    fn connection_opened(&self) {
        self.change(|state| state.opened += 1);
    }

    fn connection_closed(&self) {
        self.change(|state| state.closed += 1);
    }
}
