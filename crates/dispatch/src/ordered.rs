//! The ordered window: puts outcomes into the order of their items, within bounds. A pure machine.
//!
//! An item is admitted before it starts, in the order of the input. Its line may come at any time, and is held
//! back until the lines of all earlier items are out. How many items may start follows from the bytes that may
//! be held back and from the mean length of the latest lines. The oldest item has always been admitted, so the
//! window moves on by itself.

use std::collections::VecDeque;

/// Weight of each new line in the mean of lengths: one in this number.
const MEMORY: usize = 16;
/// Room that is kept for each line to come, in means, because later lines may be longer.
const MARGIN: usize = 2;

/// Lines of type `L` between the oldest unfinished item and the newest admitted one.
#[derive(Debug)]
pub struct OrderedWindow<L> {
    /// Maximum number of items in the window.
    items: usize,
    /// Maximum number of bytes held back. Lines that are suddenly longer may exceed it.
    bytes: usize,
    /// Admitted items whose line is not out, in order.
    places: VecDeque<Place<L>>,
    /// Bytes of the lines in `places`.
    held: usize,
    /// Number of lines in `places`.
    lines: usize,
    /// Mean length of the latest lines, in bytes.
    mean: usize,
}

#[derive(Debug)]
struct Place<L> {
    index: u64,
    line: Option<(usize, L)>,
}

/// A line has come for an item that was not admitted, or has a line already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAdmitted;

impl<L> OrderedWindow<L> {
    /// Returns a window of at most `items` items and `bytes` bytes held back, each at least 1. As long as no
    /// line has come, `first` items are admitted.
    #[must_use]
    pub fn new(items: usize, bytes: usize, first: usize) -> Self {
        Self {
            items: items.max(1),
            bytes,
            places: VecDeque::new(),
            held: 0,
            lines: 0,
            mean: bytes / first.max(1) / MARGIN,
        }
    }

    /// Returns true if no further item may be admitted now. An empty window is never full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let without_line = self.places.len() - self.lines;
        let to_come = (self.mean * MARGIN).saturating_mul(without_line + 1);
        let over =
            self.places.len() >= self.items || self.held.saturating_add(to_come) > self.bytes;
        over && !self.places.is_empty()
    }

    /// Admits an item, which must come after all that were admitted before.
    pub fn admit(&mut self, index: u64) {
        debug_assert!(self.places.back().is_none_or(|last| last.index < index));
        self.places.push_back(Place { index, line: None });
    }

    /// Returns true if the line of this item is the next one to go out.
    #[must_use]
    pub fn is_next(&self, index: u64) -> bool {
        self.oldest() == Some(index)
    }

    /// The oldest item whose line is not out.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.places.front().map(|place| place.index)
    }

    /// Adds the line of an item, of `bytes` bytes.
    ///
    /// # Errors
    /// The item was not admitted, or has a line already.
    pub fn add(&mut self, index: u64, bytes: usize, line: L) -> Result<(), NotAdmitted> {
        let at = self.places.partition_point(|place| place.index < index);
        let place = self.places.get_mut(at).ok_or(NotAdmitted)?;
        if place.index != index || place.line.is_some() {
            return Err(NotAdmitted);
        }
        place.line = Some((bytes, line));
        self.held += bytes;
        self.lines += 1;
        self.mean = self.mean - self.mean / MEMORY + bytes / MEMORY;
        Ok(())
    }

    /// Takes the next line, if it has come.
    pub fn take_next(&mut self) -> Option<L> {
        let (bytes, line) = self.places.front_mut()?.line.take()?;
        self.places.pop_front();
        self.held -= bytes;
        self.lines -= 1;
        Some(line)
    }

    /// Takes the first line that is held back, and forgets the items before it: for a run that was stopped,
    /// whose remaining items get no line.
    pub fn take_any(&mut self) -> Option<L> {
        while self
            .places
            .front()
            .is_some_and(|place| place.line.is_none())
        {
            self.places.pop_front();
        }
        self.take_next()
    }

    /// Number of bytes held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Number of lines held back.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit_all(window: &mut OrderedWindow<u64>, mut next: u64) -> u64 {
        while !window.is_full() {
            window.admit(next);
            next += 1;
        }
        next
    }

    fn out(window: &mut OrderedWindow<u64>) -> Vec<u64> {
        std::iter::from_fn(|| window.take_next()).collect()
    }

    #[test]
    fn lines_go_out_in_the_order_of_their_items() {
        let mut window = OrderedWindow::new(8, 1_000, 8);
        // Item 2 was done by an earlier run.
        [0, 1, 3, 4]
            .into_iter()
            .for_each(|index| window.admit(index));
        for index in [3, 1] {
            assert_eq!(window.add(index, 1, index), Ok(()));
        }
        assert!(out(&mut window).is_empty() && window.lines() == 2 && window.is_next(0));
        assert_eq!(window.add(0, 1, 0), Ok(()));
        assert_eq!(out(&mut window), [0, 1, 3]);
        assert_eq!(
            (window.lines(), window.held(), window.oldest()),
            (0, 0, Some(4))
        );
    }

    #[test]
    fn a_line_of_an_unknown_item_and_a_second_one_are_refused() {
        let mut window = OrderedWindow::new(8, 1_000, 8);
        window.admit(5);
        window.admit(7);
        assert_eq!(window.add(7, 1, 7), Ok(()));
        for wrong in [4, 6, 7, 8] {
            assert_eq!(window.add(wrong, 1, wrong), Err(NotAdmitted), "{wrong}");
        }
    }

    #[test]
    fn no_more_items_start_than_lines_may_be_held_back() {
        let mut window = OrderedWindow::new(100_000, 1 << 20, 64);
        let first = admit_all(&mut window, 0);
        assert_eq!(first, 64);
        // All but the oldest have short lines, so many more may start.
        for index in 1..first {
            window.add(index, 100, index).expect("it was admitted");
        }
        let second = admit_all(&mut window, first);
        assert!(second > 1_500, "{second}");
        // Even with lines twice as long, no more is held back than allowed.
        for index in first..second {
            window.add(index, 200, index).expect("it was admitted");
        }
        assert!(window.held() <= 1 << 20, "{}", window.held());
        window.add(0, 1, 0).expect("it was admitted");
        assert_eq!(out(&mut window).len() as u64, second);
        assert!(!window.is_full());
    }

    #[test]
    fn one_long_line_is_soon_forgotten() {
        let mut window = OrderedWindow::new(10, 64 << 20, 512);
        for index in 0..200 {
            window.admit(index);
            let bytes = if index == 0 { 1 << 20 } else { 256 };
            window.add(index, bytes, index).expect("it was admitted");
            assert_eq!(window.take_next(), Some(index));
        }
        assert!(window.mean < 512, "{}", window.mean);
    }

    #[test]
    fn the_oldest_item_is_always_admitted() {
        let mut window = OrderedWindow::new(1, 10, 1);
        for index in 0..3 {
            assert!(!window.is_full());
            window.admit(index);
            assert!(window.is_full());
            window.add(index, 1_000, index).expect("it was admitted");
            assert_eq!(window.take_next(), Some(index));
        }
    }

    #[test]
    fn a_stopped_run_gives_the_lines_that_came() {
        let mut window = OrderedWindow::new(10, 1_000, 10);
        (0..4).for_each(|index| window.admit(index));
        window.add(2, 5, 2).expect("it was admitted");
        assert_eq!(window.take_next(), None);
        assert_eq!((window.take_any(), window.take_any()), (Some(2), None));
        assert_eq!(window.held(), 0);
    }
}
