//! The ordered window of a batch that a client reads: the items' side waits as a task, and the outcomes' side
//! refuses to hold back too much.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Waker};

use fetchway_dispatch::OrderedWindow;
use fetchway_fetch::Hold;
use fetchway_policy::{ErrorName, FetchError};
use fetchway_wire::json::Encoder;
use parking_lot::Mutex;

/// Maximum number of items in the window: about 13 s at 5,000/s.
const WINDOW: usize = 65_536;
/// Memory of a line beside its bytes.
const LINE_WEIGHT: usize = 256;
/// Maximum number of items that start before a line has come: 100 ms at 5,000/s.
const FIRST: usize = 512;

/// An outcome's line, with the reservation of its bytes if the line goes out at once.
pub(crate) struct Line(pub(crate) Encoder, pub(crate) Option<Hold>);

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({} bytes)", self.0.weight())
    }
}

/// The order of a batch's outcomes. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Maximum number of bytes held back.
    most: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    window: OrderedWindow<Line>,
    /// The task that waits to admit an item.
    waker: Option<Waker>,
}

impl Order {
    /// Returns an order that holds back at most `most` bytes. Up to `concurrency` items are in flight.
    pub(crate) fn new(most: usize, concurrency: usize) -> Self {
        let first = concurrency.clamp(1, FIRST);
        let window = OrderedWindow::new(WINDOW, most, first);
        let waker = None;
        Self {
            most,
            state: Arc::new(Mutex::new(State { window, waker })),
        }
    }

    /// Admits an item, if the window is not full. Otherwise the task is woken when it should try again.
    pub(crate) fn admits(&self, index: u64, cx: &Context<'_>) -> bool {
        let mut state = self.state.lock();
        if !state.window.is_full() {
            state.window.admit(index);
            return true;
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        false
    }

    /// Adds the line of an item. A line that is held back counts towards the bytes of the order, and loses its
    /// reservation: reservations that are kept could exclude the very item for which the order waits.
    ///
    /// # Errors
    /// `limit_exceeded`: too many bytes are held back.
    pub(crate) fn add(
        &self,
        index: u64,
        line: Encoder,
        hold: Option<Hold>,
    ) -> Result<(), FetchError> {
        let weight = line.weight() + LINE_WEIGHT;
        self.change(|window| {
            let is_next = window.is_next(index);
            let line = Line(line, hold.filter(|_| is_next));
            let added = window.add(index, weight, line);
            added.map_err(|_not_admitted| {
                let detail = format!("Item {index} has a second outcome, which is a bug in fetchway.");
                FetchError::new(ErrorName::ProxyInternalError, detail)
            })?;
            let held = window.held();
            if is_next || held <= self.most {
                return Ok(());
            }
            let oldest = window.oldest().unwrap_or(index);
            let detail = format!(
                "{held} bytes of outcomes wait for item {oldest}, which is more than the {} that may be held \
                 back for the order (batch.max-held): ask for less concurrency, or for outcomes in any order.",
                self.most
            );
            Err(FetchError::new(ErrorName::LimitExceeded, detail))
        })
    }

    /// Takes the next line, if it has come.
    pub(crate) fn next(&self) -> Option<Line> {
        self.change(OrderedWindow::take_next)
    }

    /// Takes the first line that is held back, when no more lines come: items of a batch that was stopped have
    /// none.
    pub(crate) fn rest(&self) -> Option<Line> {
        self.change(OrderedWindow::take_any)
    }

    fn change<T>(&self, change: impl FnOnce(&mut OrderedWindow<Line>) -> T) -> T {
        let (changed, waker) = {
            let mut state = self.state.lock();
            (change(&mut state.window), state.waker.take())
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

    fn add(order: &Order, index: u64, text: &str) -> Result<(), FetchError> {
        order.add(index, Encoder::plain(BytesMut::from(text)), None)
    }

    fn admits(order: &Order, index: u64) -> bool {
        order.admits(index, &Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_waiting_task_is_woken_when_a_line_has_come() {
        let order = Order::new(8 * (LINE_WEIGHT + 16), 3);
        assert!((0..3).all(|index| admits(&order, index)) && !admits(&order, 3));
        assert!(order.state.lock().waker.is_some());
        add(&order, 1, &"x".repeat(16)).expect("there is room");
        assert!(order.state.lock().waker.is_none(), "the task was woken");
    }

    #[test]
    fn too_many_bytes_held_back_end_the_batch() {
        let order = Order::new(2 * (LINE_WEIGHT + 1), 10);
        (0..4).for_each(|index| order.state.lock().window.admit(index));
        add(&order, 1, "x").expect("there is room");
        add(&order, 2, "x").expect("there is room");
        let error = add(&order, 3, "").expect_err("there is none");
        assert_eq!(error.name, ErrorName::LimitExceeded);
        assert!(error.detail.contains("wait for item 0"), "{error}");
        assert!(add(&order, 0, "however long").is_ok() && order.next().is_some());
    }
}
