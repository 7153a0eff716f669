//! The items of a dispatch that are ready, and those that are sent later.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::pending::Pending;

/// Items that were read, in the order of the input.
pub(super) struct Ready<T> {
    items: VecDeque<Box<Pending<T>>>,
    bytes: usize,
}

impl<T> Default for Ready<T> {
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<T> Ready<T> {
    pub(super) fn push(&mut self, item: Box<Pending<T>>) {
        self.bytes += item.weight;
        self.items.push_back(item);
    }

    pub(super) fn front(&self) -> Option<&Pending<T>> {
        self.items.front().map(|item| &**item)
    }

    pub(super) fn pop(&mut self) -> Option<Box<Pending<T>>> {
        let item = self.items.pop_front()?;
        self.bytes -= item.weight;
        Some(item)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Box<Pending<T>>> + use<T> {
        self.bytes = 0;
        std::mem::take(&mut self.items).into_iter()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Items to be tried again and pages that follow, by the time at which they may be sent.
pub(super) struct Later<T> {
    items: BTreeMap<(Duration, u64), Box<Pending<T>>>,
    bytes: usize,
    /// Tells items of the same time apart.
    serial: u64,
}

impl<T> Default for Later<T> {
    fn default() -> Self {
        Self {
            items: BTreeMap::new(),
            bytes: 0,
            serial: 0,
        }
    }
}

impl<T> Later<T> {
    pub(super) fn push(&mut self, item: Box<Pending<T>>, at: Duration) {
        self.serial += 1;
        self.bytes += item.weight;
        self.items.insert((at, self.serial), item);
    }

    /// Takes the first item whose time has come.
    pub(super) fn pop_due(&mut self, now: Duration) -> Option<Box<Pending<T>>> {
        let first = self.items.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let item = first.remove();
        self.bytes -= item.weight;
        Some(item)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Box<Pending<T>>> + use<T> {
        self.bytes = 0;
        std::mem::take(&mut self.items).into_values()
    }

    pub(super) fn next_at(&self) -> Option<Duration> {
        self.items.first_key_value().map(|(key, _)| key.0)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
