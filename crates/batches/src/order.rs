//! Outcomes in the order of their items: what comes early is held back, within bounds.
//!
//! The items' side of it, the gate, lets none begin that is too far ahead of the oldest one that is not
//! out yet, or whose line, with those of all that have begun, might be more than can be held back. How long
//! lines are is learned from those that come. The oldest has always begun, so it moves on by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Waker};

use fetchway_policy::{ErrorName, FetchError};
use fetchway_wire::json::Encoder;
use parking_lot::Mutex;

/// Items from the oldest one that is not out yet to the newest that has begun: about 13 s at 5,000/s.
const WINDOW: u64 = 65_536;
/// Memory of a line beside its bytes.
const LINE_WEIGHT: usize = 256;
/// Items that may begin before a line has come, if as many may be under way: 100 ms at 5,000/s.
const FIRST: usize = 512;
/// Of the mean of lines' lengths, what each new line has: a sixteenth.
const MEMORY: usize = 16;
/// Room that is kept for lines to come, in means: lines to come may be longer than those that came.
const MARGIN: usize = 2;

/// Where items wait until they may begin. Clones are one and the same.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    /// Bytes that may be held back at most.
    most: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// The oldest item whose line is not out yet.
    next: u64,
    /// Bytes held back.
    held: usize,
    /// Items that have begun and have no line yet.
    begun: usize,
    /// Bytes of a line, on the mean of the latest.
    mean: usize,
    waker: Option<Waker>,
}

impl State {
    /// A line has come.
    fn came(&mut self, weight: usize) {
        self.begun = self.begun.saturating_sub(1);
        self.mean = self.mean - self.mean / MEMORY + weight / MEMORY;
    }
}

impl Gate {
    /// Holds back `most` bytes. Up to `concurrency` items are under way at once.
    pub(crate) fn new(most: usize, concurrency: usize) -> Self {
        let state = State {
            next: 0,
            held: 0,
            begun: 0,
            mean: most / concurrency.clamp(1, FIRST) / MARGIN,
            waker: None,
        };
        Self {
            most,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Lets the item begin, if it may. Else the task is woken when to ask again.
    pub(crate) fn admits(&self, index: u64, cx: &Context<'_>) -> bool {
        let mut state = self.state.lock();
        let ahead = index - state.next;
        let line = state.mean * MARGIN;
        let to_come = line.saturating_mul(state.begun + 1);
        if ahead == 0 || ahead < WINDOW && state.held.saturating_add(to_come) <= self.most {
            state.begun += 1;
            return true;
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        false
    }
}

/// The outcomes' side.
#[derive(Debug)]
pub(crate) struct Order {
    gate: Gate,
    held: BTreeMap<u64, Held>,
}

struct Held(Encoder);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.weight())
    }
}

impl Order {
    pub(crate) fn new(gate: Gate) -> Self {
        Self {
            gate,
            held: BTreeMap::new(),
        }
    }

    /// Whether the line of this item is the next to go out.
    pub(crate) fn is_next(&self, index: u64) -> bool {
        self.gate.state.lock().next == index
    }

    /// The line of the oldest item has come, and is out.
    pub(crate) fn out(&mut self, line: &Encoder) {
        self.moved(|state| {
            state.came(line.weight() + LINE_WEIGHT);
            state.next += 1;
        });
    }

    /// Holds back the line of an item that is not the next.
    ///
    /// # Errors
    /// `limit_exceeded`: too much is held back.
    pub(crate) fn hold(&mut self, index: u64, line: Encoder) -> Result<(), FetchError> {
        let weight = line.weight() + LINE_WEIGHT;
        let (held, next) = self.moved(|state| {
            state.came(weight);
            state.held += weight;
            (state.held, state.next)
        });
        if held > self.gate.most {
            let detail = format!(
                "{held} bytes of outcomes wait for item {next}, more than may be held back for the order \
                 ({}, batch.max-held): ask for less concurrency, or for outcomes as they come.",
                self.gate.most
            );
            return Err(FetchError::new(ErrorName::LimitExceeded, detail));
        }
        self.held.insert(index, Held(line));
        Ok(())
    }

    /// The next line, if it has been held back. It counts as out.
    pub(crate) fn next(&mut self) -> Option<Encoder> {
        let (index, _) = self.held.first_key_value()?;
        self.is_next(*index).then(|| self.rest())?
    }

    /// The first line that is held back, when no more come: items of a batch that was stopped have no
    /// lines.
    pub(crate) fn rest(&mut self) -> Option<Encoder> {
        let (index, Held(line)) = self.held.pop_first()?;
        self.moved(|state| {
            state.next = index + 1;
            state.held -= line.weight() + LINE_WEIGHT;
        });
        Some(line)
    }

    fn moved<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (changed, waker) = {
            let mut state = self.gate.state.lock();
            (change(&mut state), state.waker.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn line(text: &str) -> Encoder {
        Encoder::plain(BytesMut::from(text))
    }

    fn text(line: Option<Encoder>) -> Option<String> {
        let mut out = BytesMut::new();
        line?.write(&mut out, 1);
        Some(String::from_utf8_lossy(&out).into_owned())
    }

    fn admits(gate: &Gate, index: u64) -> bool {
        gate.admits(index, &Context::from_waker(Waker::noop()))
    }

    #[test]
    fn lines_come_out_in_the_order_of_their_items() {
        let mut order = Order::new(Gate::new(10_000, 10));
        assert!(order.is_next(0) && !order.is_next(2));
        order.hold(2, line("two")).expect("there is room");
        order.hold(1, line("one")).expect("there is room");
        assert_eq!(text(order.next()), None);
        order.out(&line("zero"));
        assert_eq!(text(order.next()).as_deref(), Some("one"));
        assert_eq!(text(order.next()).as_deref(), Some("two"));
        assert!(text(order.next()).is_none() && order.is_next(3));
        // Of a batch that was stopped, 3 was never sent.
        order.hold(4, line("four")).expect("there is room");
        assert_eq!(text(order.next()), None);
        assert_eq!(text(order.rest()).as_deref(), Some("four"));
        assert_eq!(order.gate.state.lock().held, 0);
    }

    #[test]
    fn no_item_begins_too_far_ahead() {
        let gate = Gate::new(10_000, 1);
        gate.state.lock().mean = 1;
        assert!(admits(&gate, 0) && admits(&gate, WINDOW - 1));
        assert!(!admits(&gate, WINDOW));
    }

    #[test]
    fn only_so_many_begin_that_all_their_lines_can_be_held_back() {
        const LINE: usize = LINE_WEIGHT + 16;
        let gate = Gate::new(8 * LINE, 3);
        let mut order = Order::new(gate.clone());
        // Nothing is known of lines.
        assert!((0..3).all(|index| admits(&gate, index)) && !admits(&gate, 3));
        assert!(gate.state.lock().waker.is_some());
        let text = "x".repeat(16);
        order.hold(1, line(&text)).expect("there is room");
        assert!(gate.state.lock().waker.is_none(), "it was woken");
        // One is held back, two are to come, and two more have room.
        gate.state.lock().mean = LINE;
        assert!(admits(&gate, 3) && !admits(&gate, 4));
        for index in [2, 3] {
            order.hold(index, line(&text)).expect("there is room");
        }
        assert!(admits(&gate, 4) && !admits(&gate, 5));
        order.out(&line(&text));
        while order.next().is_some() {}
        assert!((5..8).all(|index| admits(&gate, index)) && !admits(&gate, 8));
    }

    #[test]
    fn one_long_line_is_soon_forgotten() {
        let gate = Gate::new(64 << 20, FIRST);
        let mut order = Order::new(gate.clone());
        for long in [true, false] {
            order.out(&line(&"x".repeat(if long { 1 << 20 } else { 0 })));
            assert!(gate.state.lock().mean > 1 << 16, "{:?}", gate.state.lock());
        }
        for _ in 0..10 * MEMORY {
            order.out(&line(""));
        }
        assert!(
            gate.state.lock().mean < 2 * LINE_WEIGHT,
            "{:?}",
            gate.state.lock()
        );
    }

    #[test]
    fn the_oldest_may_always_begin() {
        let gate = Gate::new(10, 1);
        let mut order = Order::new(gate.clone());
        for index in 0..3 {
            assert!(admits(&gate, index) && !admits(&gate, index + 1));
            order.out(&line("more than may be held back"));
        }
    }

    #[test]
    fn too_much_held_back_is_refused_by_name() {
        let mut order = Order::new(Gate::new(2 * (LINE_WEIGHT + 1), 1));
        order.hold(1, line("x")).expect("there is room");
        order.hold(2, line("x")).expect("there is room");
        let error = order.hold(3, line("")).expect_err("there is none");
        assert_eq!(error.name, ErrorName::LimitExceeded);
        assert!(error.detail.contains("wait for item 0"), "{error}");
    }
}
