//! An item on its way through the dispatch.

use std::time::Duration;

use crate::origins::OriginId;

/// An item, as far as the dispatch must know it.
pub trait Dispatchable {
    /// Scheme, host and port of the origin that the item is sent to.
    fn origin(&self) -> &str;

    /// Bytes that the item keeps in memory.
    fn weight(&self) -> usize;

    /// Returns true if the item continues an earlier one, such as a page that a response named. Such items
    /// go before others that wait for the same origin, so that chains end before new ones begin.
    fn continues(&self) -> bool;
}

/// An item that was read and has no outcome yet.
#[derive(Debug)]
pub struct Pending<T> {
    /// The item itself.
    pub item: T,
    pub(crate) origin: OriginId,
    pub(crate) weight: usize,
    pub(crate) tries: u32,
    /// Slot that the first try took.
    pub(crate) scheduled: Option<Duration>,
    /// Time at which the item was last taken to be sent.
    pub(crate) taken: Duration,
}

impl<T: Dispatchable> Pending<T> {
    /// An item that has never been sent.
    #[must_use]
    pub fn new(item: T) -> Box<Self> {
        Box::new(Self {
            weight: item.weight(),
            item,
            origin: OriginId::default(),
            tries: 0,
            scheduled: None,
            taken: Duration::ZERO,
        })
    }

    /// Returns true if the item goes before those that wait for its origin: it was tried before, or
    /// continues another.
    pub(crate) fn goes_first(&self) -> bool {
        self.tries > 0 || self.item.continues()
    }
}

impl<T> Pending<T> {
    /// The origin that the item is sent to.
    #[must_use]
    pub fn origin(&self) -> OriginId {
        self.origin
    }

    /// Number of tries so far, this one included.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Time of the slot that the first try took; none before that.
    #[must_use]
    pub fn scheduled(&self) -> Option<Duration> {
        self.scheduled
    }
}
