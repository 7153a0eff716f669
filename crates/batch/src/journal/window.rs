//! The ordered window of a run with an input thread and an output thread.

use std::sync::Arc;

use bytes::BytesMut;
use fetchway_dispatch::OrderedWindow;
use parking_lot::{Condvar, Mutex};

use crate::error::BatchError;

/// Number of items that start before a line has come.
const FIRST: usize = 64;

/// The items between the oldest unfinished one and the newest one. Clones share the window.
#[derive(Clone, Debug)]
pub struct Window(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Debug)]
struct State {
    window: OrderedWindow<Box<[u8]>>,
    closed: bool,
}

impl Default for Window {
    /// Returns a window of 65,536 items, about 13 s at 5,000/s, and 64 MiB of lines.
    fn default() -> Self {
        Self::new(65_536, 64 << 20)
    }
}

impl Window {
    /// Returns a window of at most `items` items, and of lines of about `bytes` bytes.
    #[must_use]
    pub fn new(items: usize, bytes: usize) -> Self {
        let window = OrderedWindow::new(items, bytes, FIRST);
        let closed = false;
        Self(Arc::new(Shared {
            state: Mutex::new(State { window, closed }),
            room: Condvar::new(),
        }))
    }

    /// Admits an item. Called for each item in the order of the input, by a thread that may block: the call
    /// waits while the window is full. Returns false if the window is closed.
    #[must_use]
    pub fn admit(&self, index: u64) -> bool {
        let mut state = self.0.state.lock();
        while !state.closed && state.window.is_full() {
            self.0.room.wait(&mut state);
        }
        if !state.closed {
            state.window.admit(index);
        }
        !state.closed
    }

    /// Closes the window: no more items are admitted, and a waiting call returns.
    pub fn close(&self) {
        self.0.state.lock().closed = true;
        self.0.room.notify_all();
    }

    /// Adds the line of an item, and appends to `out` all lines that go out now.
    pub(super) fn place(
        &self,
        index: u64,
        line: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), BatchError> {
        let mut state = self.0.state.lock();
        let added = state.window.add(index, line.len(), line.into());
        added.map_err(|_not_admitted| {
            BatchError::new(format!(
                "item {index} has an outcome that was not expected, so its place in the order is not known"
            ))
        })?;
        while let Some(line) = state.window.take_next() {
            out.extend_from_slice(&line);
        }
        drop(state);
        self.0.room.notify_all();
        Ok(())
    }

    /// Number of lines held back.
    pub(super) fn held_back(&self) -> usize {
        self.0.state.lock().window.lines()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use super::*;

    #[test]
    fn an_unexpected_outcome_is_an_error() {
        let window = Window::default();
        assert!(window.admit(5));
        let refused = window.place(6, b"x", &mut BytesMut::new());
        assert!(refused.unwrap_err().to_string().contains("not expected"));
    }

    #[test]
    fn a_full_window_waits_for_the_oldest_item() {
        for (window, early) in [(Window::new(2, 1_000), 1), (Window::new(100, 9), 10)] {
            assert!(window.admit(0) && window.admit(1));
            let mut out = BytesMut::new();
            window.place(1, &vec![b'x'; early], &mut out).unwrap();
            assert!(window.0.state.lock().window.is_full() && out.is_empty());
            let (tell, told) = sync_channel(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    assert!(window.admit(2));
                    tell.send("admitted").unwrap();
                });
                // The window is full until the next line, so the thread cannot have sent before.
                assert!(told.try_recv().is_err());
                window.place(0, b"0", &mut out).unwrap();
                assert_eq!(told.recv(), Ok("admitted"));
            });
            assert_eq!((out.len(), window.held_back()), (early + 1, 0));
        }
    }

    #[test]
    fn closing_ends_the_wait() {
        let window = Window::new(1, 10);
        assert!(window.admit(0));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| window.admit(1));
            window.close();
            assert!(!waiting.join().unwrap());
        });
    }
}
