//! An item on its way through a run: what is asked for, and what has become of it so far.

use std::time::Duration;

use fetchway_wire::json::Id;

use crate::item::Request;
use crate::origins::OriginId;

/// What an item takes beside its URL, fields and body, in bytes.
const ITEM_WEIGHT: usize = 512;

/// An item on its way.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) index: u64,
    /// Which of the item's pages it is.
    pub(crate) depth: u32,
    pub(crate) id: Option<Id>,
    pub(crate) url: String,
    pub(crate) fingerprint: u64,
    pub(crate) request: Request,
    pub(crate) origin: OriginId,
    pub(crate) weight: usize,
    /// Times that it was taken from the schedule.
    pub(crate) tries: u32,
    /// Of them, those in which it was sent.
    pub(crate) attempts: u32,
    /// The slot that it took first.
    pub(crate) scheduled: Option<Duration>,
    /// When it was last taken from the schedule.
    pub(crate) taken: Duration,
    /// Times that it was answered 429.
    pub(crate) refused: u32,
}

impl Job {
    /// One that was never sent.
    pub(crate) fn new(
        (index, depth): (u64, u32),
        id: Option<Id>,
        url: String,
        fingerprint: u64,
        request: Request,
    ) -> Box<Self> {
        Box::new(Self {
            index,
            depth,
            id,
            url,
            fingerprint,
            request,
            origin: 0,
            weight: 0,
            tries: 0,
            attempts: 0,
            scheduled: None,
            taken: Duration::ZERO,
            refused: 0,
        })
    }

    /// Bytes that a request keeps in memory.
    pub(crate) fn weigh(request: &Request, url: &str) -> usize {
        let fields = request.headers.iter();
        let fields: usize = fields.map(|(n, v)| n.as_str().len() + v.len()).sum();
        ITEM_WEIGHT + 2 * url.len() + fields + request.body.len()
    }
}
