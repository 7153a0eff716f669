//! Outcomes on their way from the workers to whoever takes them.
//!
//! An outcome keeps its item's place in flight until it is taken, which bounds the outbox. Waking a thread
//! costs more than writing a line, so a thread that takes many outcomes at once is woken for many.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::outcome::Done;

/// Outbox of one run.
pub(crate) struct Outbox<H> {
    waiting: Mutex<Waiting<H>>,
    enough: Condvar,
}

struct Waiting<H> {
    outcomes: VecDeque<Done<H>>,
    /// No more outcomes come.
    closed: bool,
    /// Task that waits for an outcome.
    task: Option<Waker>,
    /// Number of outcomes that a thread waits for.
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
            let mut waiting = self.waiting.lock();
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

    /// Says that no more outcomes come.
    pub(crate) fn close(&self) {
        let task = {
            let mut waiting = self.waiting.lock();
            waiting.closed = true;
            waiting.task.take()
        };
        self.enough.notify_one();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Takes the next outcome; none when no more come.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Done<H>>> {
        let mut waiting = self.waiting.lock();
        match waiting.outcomes.pop_front() {
            None if !waiting.closed => {
                waiting.task = Some(cx.waker().clone());
                Poll::Pending
            }
            next => Poll::Ready(next),
        }
    }

    /// Waits for the first outcome, then for `enough` of them or for `long`, and appends all of them to `into`:
    /// nothing when no more come. Blocks.
    pub(crate) fn wait(&self, into: &mut Vec<Done<H>>, enough: usize, long: Duration) {
        let mut waiting = self.waiting.lock();
        while waiting.outcomes.is_empty() && !waiting.closed {
            waiting.thread = Some(1);
            self.enough.wait(&mut waiting);
        }
        if waiting.outcomes.len() < enough && !waiting.closed {
            waiting.thread = Some(enough);
            self.enough.wait_for(&mut waiting, long);
        }
        waiting.thread = None;
        into.extend(waiting.outcomes.drain(..));
    }
}
