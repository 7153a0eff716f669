//! Outcomes on their way from the workers to whoever takes them.
//!
//! Places bound it: an outcome keeps its item's place in flight until it has been taken. Waking a thread
//! costs more than writing a line, so one that takes many at once is woken for many.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::run::Done;

/// One run's.
pub(crate) struct Outbox<H> {
    waiting: Mutex<Waiting<H>>,
    enough: Condvar,
}

struct Waiting<H> {
    outcomes: VecDeque<Done<H>>,
    /// No more come.
    closed: bool,
    /// The task that waits for one.
    task: Option<Waker>,
    /// A thread waits for so many.
    thread: Option<usize>,
}

impl<H> Outbox<H> {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                outcomes: VecDeque::new(),
                closed: false,
                task: None,
                thread: None,
            }),
            enough: Condvar::new(),
        }
    }

    pub(crate) fn put(&self, done: Done<H>) {
        let (task, wakes) = {
            let mut waiting = self.lock();
            waiting.outcomes.push_back(done);
            let wakes = waiting
                .thread
                .is_some_and(|enough| waiting.outcomes.len() >= enough);
            if wakes {
                waiting.thread = None;
            }
            (waiting.task.take(), wakes)
        };
        if wakes {
            self.enough.notify_one();
        }
        if let Some(task) = task {
            task.wake();
        }
    }

    /// No more come.
    pub(crate) fn close(&self) {
        let task = {
            let mut waiting = self.lock();
            waiting.closed = true;
            waiting.task.take()
        };
        self.enough.notify_one();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// The next one; none when there are no more.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Done<H>>> {
        let mut waiting = self.lock();
        match waiting.outcomes.pop_front() {
            None if !waiting.closed => {
                waiting.task = Some(cx.waker().clone());
                Poll::Pending
            }
            next => Poll::Ready(next),
        }
    }

    /// Waits for the first outcome, and then for `enough` of them or so long, and appends all that there are
    /// to `into`: none when there are no more. Blocks.
    pub(crate) fn wait(&self, into: &mut Vec<Done<H>>, (enough, long): (usize, Duration)) {
        let mut waiting = self.lock();
        while waiting.outcomes.is_empty() && !waiting.closed {
            waiting.thread = Some(1);
            let woken = self.enough.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.outcomes.len() < enough && !waiting.closed {
            waiting.thread = Some(enough);
            let woken = self.enough.wait_timeout(waiting, long);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.thread = None;
        into.extend(waiting.outcomes.drain(..));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<H>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
