//! Input order for outcomes that come in any order: what comes early is held back, within bounds.
//!
//! An item takes its place before it is handed out, and whoever hands out waits while the window is
//! full. The oldest item has always been handed out already, so the window moves on by itself.
//!
//! What is handed out comes back as a line, and may have to be held back: so no more is handed out than lines
//! may be held back for, going by the mean of the latest.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::{Condvar, Mutex};

use super::error::JournalError;

/// Items that are handed out before a line has come. As lines come that are short, there soon are many more.
const FIRST: usize = 64;
/// Of the mean of lines' lengths, what each new line has: a sixteenth.
const MEMORY: usize = 16;
/// Room that is kept for lines to come, in means: lines to come may be longer than those that came.
const MARGIN: usize = 2;

/// The items between the oldest unfinished one and the newest one. Clones share the window.
#[derive(Clone, Debug)]
pub struct Window(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    items: usize,
    bytes: usize,
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of the input.
    places: VecDeque<Place>,
    /// Bytes of the lines in `places`.
    held: usize,
    /// Lines in `places`.
    lines: usize,
    /// Bytes of a line, on the mean of the latest.
    mean: usize,
    closed: bool,
}

#[derive(Debug)]
struct Place {
    index: u64,
    line: Option<Box<[u8]>>,
}

impl Default for Window {
    /// 65,536 items, about 13 s at 5,000/s, and 64 MiB of lines held back.
    fn default() -> Self {
        Self::new(65_536, 64 << 20)
    }
}

impl Window {
    /// A window of so many items, at least one, that hands out no more while lines of so many bytes
    /// are held back, or would be if all that is handed out came before the oldest. Lines that are suddenly
    /// longer than those before may still add to these bytes.
    #[must_use]
    pub fn new(items: usize, bytes: usize) -> Self {
        let state = State {
            mean: bytes / FIRST / MARGIN,
            ..State::default()
        };
        Self(Arc::new(Shared {
            items: items.max(1),
            bytes,
            state: Mutex::new(state),
            room: Condvar::new(),
        }))
    }

    /// Gives the item its place; to be called for each item that is handed out, in the order of the
    /// input, and by a thread that may block: it waits while the window is full. Returns false if the
    /// window is closed.
    #[must_use]
    pub fn admit(&self, index: u64) -> bool {
        let mut state = self.0.state.lock();
        while !state.closed && self.is_full(&state) {
            self.0.room.wait(&mut state);
        }
        if state.closed {
            return false;
        }
        debug_assert!(state.places.back().is_none_or(|last| last.index < index));
        state.places.push_back(Place { index, line: None });
        true
    }

    /// No more items are to be handed out: whoever waits is let go.
    pub fn close(&self) {
        self.0.state.lock().closed = true;
        self.0.room.notify_all();
    }

    /// Appends to `out` the item's line, if it is next, with those that waited for it; else keeps it.
    pub(super) fn place(
        &self,
        index: u64,
        line: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), JournalError> {
        let mut state = self.0.state.lock();
        let at = state.places.partition_point(|place| place.index < index);
        match state.places.get_mut(at) {
            Some(place) if place.index == index && place.line.is_none() => {
                place.line = Some(line.into());
            }
            Some(_) | None => {
                return Err(JournalError::new(format!(
                    "Item {index} has an outcome that it was not handed out for: its order is not known."
                )));
            }
        }
        state.held += line.len();
        state.lines += 1;
        state.mean = state.mean - state.mean / MEMORY + line.len() / MEMORY;
        while let Some(line) = state.places.front_mut().and_then(|it| it.line.take()) {
            state.places.pop_front();
            state.held -= line.len();
            state.lines -= 1;
            out.extend_from_slice(&line);
        }
        drop(state);
        self.0.room.notify_all();
        Ok(())
    }

    /// Lines that are held back.
    pub(super) fn held_back(&self) -> usize {
        self.0.state.lock().lines
    }

    fn is_full(&self, state: &State) -> bool {
        // An empty one takes an item whatever the bounds are.
        let without = state.places.len() - state.lines;
        let to_come = (state.mean * MARGIN).saturating_mul(without);
        let over = state.places.len() >= self.0.items || state.held + to_come >= self.0.bytes;
        over && !state.places.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use super::*;

    fn place(window: &Window, index: u64, out: &mut BytesMut) {
        window
            .place(index, format!("{index} ").as_bytes(), out)
            .unwrap();
    }

    #[test]
    fn lines_come_out_in_the_order_in_which_items_were_handed_out() {
        let window = Window::new(8, 1_000);
        // 2 was done before, or skipped.
        for index in [0, 1, 3, 4] {
            assert!(window.admit(index));
        }
        let mut out = BytesMut::new();
        place(&window, 3, &mut out);
        place(&window, 1, &mut out);
        assert_eq!((&out[..], window.held_back()), (&b""[..], 2));
        place(&window, 0, &mut out);
        assert_eq!((&out[..], window.held_back()), (&b"0 1 3 "[..], 0));
        place(&window, 4, &mut out);
        assert_eq!(&out[..], b"0 1 3 4 ");
    }

    #[test]
    fn an_outcome_out_of_nowhere_or_twice_is_refused() {
        let window = Window::default();
        assert!(window.admit(5) && window.admit(7));
        let mut out = BytesMut::new();
        place(&window, 7, &mut out);
        for wrong in [4, 6, 7, 8] {
            let refused = window.place(wrong, b"x", &mut out);
            assert!(refused.unwrap_err().to_string().contains("not handed out"));
        }
    }

    /// The third item is admitted when, and only when, the first is out.
    fn third_waits_for_first(window: &Window, early: usize) {
        assert!(window.admit(0) && window.admit(1));
        let mut out = BytesMut::new();
        window.place(1, &vec![b'x'; early], &mut out).unwrap();
        assert!(window.is_full(&window.0.state.lock()));
        let (tell, told) = sync_channel(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(window.admit(2));
                tell.send("admitted").unwrap();
            });
            // It is full until the next line, so the thread cannot have told before.
            assert!(told.try_recv().is_err());
            place(window, 0, &mut out);
            assert_eq!(told.recv(), Ok("admitted"));
        });
    }

    #[test]
    fn a_window_full_of_items_or_of_bytes_waits_for_the_oldest() {
        third_waits_for_first(&Window::new(2, 1_000), 1);
        third_waits_for_first(&Window::new(100, 10), 10);
    }

    #[test]
    fn no_more_is_handed_out_than_may_be_held_back() {
        let window = Window::new(100_000, 1 << 20);
        let mut next = 0;
        let mut fill = || {
            let from = next;
            while !window.is_full(&window.0.state.lock()) {
                assert!(window.admit(next));
                next += 1;
            }
            from..next
        };
        // Nothing is known of lines yet.
        let first = fill();
        assert_eq!(first.end as usize, FIRST);
        // All but the oldest are at hand, and small: then many more may begin.
        let mut out = BytesMut::new();
        for index in 1..first.end {
            window.place(index, &[b'x'; 100], &mut out).unwrap();
        }
        let second = fill();
        assert!(second.end > 1_500, "{second:?}");
        // And when all of these come, it is no more than was to be held back.
        for index in second {
            window.place(index, &[b'x'; 200], &mut out).unwrap();
        }
        assert!(
            window.0.state.lock().held <= 1 << 20,
            "{}",
            window.0.state.lock().held
        );
        place(&window, 0, &mut out);
        assert_eq!(window.held_back(), 0);
        assert!(!window.is_full(&window.0.state.lock()));
    }

    #[test]
    fn closing_lets_whoever_waits_go() {
        let window = Window::new(1, 10);
        assert!(window.admit(0));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| window.admit(1));
            window.close();
            assert!(!waiting.join().unwrap());
        });
    }
}
