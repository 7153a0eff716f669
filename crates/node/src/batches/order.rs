//! Outcomes in the order of their items: what comes early is held back, within bounds.
//!
//! The items' side of it, the gate, lets none begin that is too far ahead of the oldest one that is not
//! out yet, or while too much is held back. The oldest has always begun, so it moves on by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use fetchway_policy::{ErrorName, FetchError};
use fetchway_wire::json::Encoder;

/// Items from the oldest one that is not out yet to the newest that has begun: about 13 s at 5,000/s.
const WINDOW: u64 = 65_536;
/// What a line takes beside its bytes.
const LINE_WEIGHT: usize = 256;

/// Where items wait until they may begin. Clones are one and the same.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// Bytes that may be held back at most.
    most: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The oldest item whose line is not out yet.
    next: u64,
    /// Bytes held back.
    held: usize,
    waker: Option<Waker>,
}

impl Gate {
    /// Holds back `most` bytes. From half of that on no further items begin: what is under way then may
    /// still add to them.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            state: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the item may begin. Else the task is woken when to ask again.
    pub(super) fn admits(&self, index: u64, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        let ahead = index - state.next;
        if ahead == 0 || ahead < WINDOW && state.held < self.most / 2 {
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
pub(super) struct Order {
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
    pub(super) fn new(gate: Gate) -> Self {
        Self {
            gate,
            held: BTreeMap::new(),
        }
    }

    /// Whether the line of this item is the next to go out.
    pub(super) fn is_next(&self, index: u64) -> bool {
        self.gate.state().next == index
    }

    /// The line of the oldest item is out.
    pub(super) fn out(&mut self) {
        self.moved(|state| state.next += 1);
    }

    /// Holds back the line of an item that is not the next.
    ///
    /// # Errors
    /// `limit_exceeded`: too much is held back.
    pub(super) fn hold(&mut self, index: u64, line: Encoder) -> Result<(), FetchError> {
        let mut state = self.gate.state();
        state.held += line.weight() + LINE_WEIGHT;
        if state.held > self.gate.most {
            let detail = format!(
                "{} bytes of outcomes wait for item {}, more than may be held back for the order \
                 ({}, batch.max-held): ask for less concurrency, or for outcomes as they come.",
                state.held, state.next, self.gate.most
            );
            return Err(FetchError::new(ErrorName::LimitExceeded, detail));
        }
        self.held.insert(index, Held(line));
        Ok(())
    }

    /// The next line, if it has been held back. It counts as out.
    pub(super) fn next(&mut self) -> Option<Encoder> {
        let (index, _) = self.held.first_key_value()?;
        self.is_next(*index).then(|| self.rest())?
    }

    /// The first line that is held back, when no more come: items of a batch that was stopped have no
    /// lines.
    pub(super) fn rest(&mut self) -> Option<Encoder> {
        let (index, Held(line)) = self.held.pop_first()?;
        self.moved(|state| {
            state.next = index + 1;
            state.held -= line.weight() + LINE_WEIGHT;
        });
        Some(line)
    }

    fn moved(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.gate.state();
            change(&mut state);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
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
        let mut order = Order::new(Gate::new(10_000));
        assert!(order.is_next(0) && !order.is_next(2));
        order.hold(2, line("two")).expect("there is room");
        order.hold(1, line("one")).expect("there is room");
        assert_eq!(text(order.next()), None);
        order.out();
        assert_eq!(text(order.next()).as_deref(), Some("one"));
        assert_eq!(text(order.next()).as_deref(), Some("two"));
        assert!(text(order.next()).is_none() && order.is_next(3));
        // Of a batch that was stopped, 3 was never sent.
        order.hold(4, line("four")).expect("there is room");
        assert_eq!(text(order.next()), None);
        assert_eq!(text(order.rest()).as_deref(), Some("four"));
        assert_eq!(order.gate.state().held, 0);
    }

    #[test]
    fn no_item_begins_too_far_ahead_or_while_much_is_held_back() {
        let gate = Gate::new(2 * (LINE_WEIGHT + 1));
        let mut order = Order::new(gate.clone());
        assert!(admits(&gate, 0) && admits(&gate, WINDOW - 1));
        assert!(!admits(&gate, WINDOW));
        order.hold(1, line("x")).expect("there is room");
        assert!(admits(&gate, 0) && !admits(&gate, 2));
        assert!(gate.state().waker.is_some());
        order.out();
        assert!(gate.state().waker.is_none(), "it was woken");
        assert!(order.next().is_some() && admits(&gate, 3));
    }

    #[test]
    fn too_much_held_back_is_refused_by_name() {
        let mut order = Order::new(Gate::new(2 * (LINE_WEIGHT + 1)));
        order.hold(1, line("x")).expect("there is room");
        order.hold(2, line("x")).expect("there is room");
        let error = order.hold(3, line("")).expect_err("there is none");
        assert_eq!(error.name, ErrorName::LimitExceeded);
        assert!(error.detail.contains("wait for item 0"), "{error}");
    }
}
