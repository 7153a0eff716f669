//! The origins of a run: the items that wait for each, and which origins may be sent to.
//!
//! An item waits here only while its origin may not be sent to; the other items of the run pass it by.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use fetchway_policy::{OriginLimits, Rate};
use serde::Serialize;

use crate::pace::{Pace, Search};
use crate::pending::{Dispatchable, Pending};

/// Origins kept at once. Beyond it an origin is forgotten with its last item, and what was learned about it.
const MAX_KNOWN: usize = 16_384;

/// Rates found that are reported, of the origins with the most requests.
const SHOWN: usize = 16;

/// Number of an origin; valid while one of its items is in the run.
pub type OriginId = u32;

/// Rates that an adaptive run has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundRates {
    /// The origins with the most requests, at most 16, those with most first.
    pub origins: Vec<FoundRate>,
    /// Number of the other origins.
    pub others: u64,
}

/// Highest rate that an origin bears, as far as it was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundRate {
    /// Scheme, host and port.
    pub origin: String,
    /// Number of tries that were sent to the origin.
    pub requests: u64,
    /// Requests a second that the origin answered when it was last in trouble, or its current rate if that is
    /// higher.
    pub per_second: f64,
    /// Number of times that the origin was in trouble: it refused, failed or became slow. If never, it may
    /// bear more.
    pub troubles: u64,
}

/// One origin: its pace, and the items that wait for it.
struct OriginQueue<T> {
    key: Box<str>,
    pace: Pace,
    /// Most items in flight.
    concurrency: usize,
    in_flight: usize,
    waiting: VecDeque<Box<Pending<T>>>,
    /// Time under which the origin is listed in `open`, if it is.
    listed: Option<Duration>,
    /// Items in the run, in flight or not.
    items: usize,
}

impl<T> OriginQueue<T> {
    /// Time at which the origin may be sent to; none while its concurrency is used up.
    fn opens_at(&self) -> Option<Duration> {
        (self.in_flight < self.concurrency).then(|| self.pace.next_at())
    }
}

/// All origins of a run.
pub(crate) struct Origins<T> {
    by_key: HashMap<Box<str>, OriginId>,
    slots: Vec<Option<OriginQueue<T>>>,
    free: Vec<OriginId>,
    /// Origins with waiting items, by the time at which they may be sent to; that time may have moved.
    open: BTreeSet<(Duration, OriginId)>,
    /// Search for the highest rate that each origin bears.
    adaptive: bool,
    /// Number of forgotten origins that were sent to.
    forgotten: u64,
    /// Number of waiting items, and their bytes.
    waiting: usize,
    waiting_bytes: usize,
}

impl<T: Dispatchable> Origins<T> {
    pub(crate) fn new(adaptive: bool) -> Self {
        Self {
            by_key: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            open: BTreeSet::new(),
            adaptive,
            forgotten: 0,
            waiting: 0,
            waiting_bytes: 0,
        }
    }

    /// An item comes into the run. `limits` are asked for when its origin is not known yet.
    pub(crate) fn enter(&mut self, item: &T, limits: impl FnOnce(&T) -> OriginLimits) -> OriginId {
        let key = item.origin();
        let known = self.by_key.get(key).copied();
        let id = known.unwrap_or_else(|| self.add(key, limits(item)));
        self.queue(id).items += 1;
        id
    }

    fn add(&mut self, key: &str, limits: OriginLimits) -> OriginId {
        let configured = limits.rate.map(Rate::per_second);
        let queue = OriginQueue {
            key: key.into(),
            pace: Pace::new(configured, self.adaptive),
            concurrency: limits.concurrency.max(1),
            in_flight: 0,
            waiting: VecDeque::new(),
            listed: None,
            items: 0,
        };
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // Fewer than the items of a run, which are bounded.
            OriginId::try_from(self.slots.len() - 1).unwrap_or(OriginId::MAX)
        });
        self.slots[id as usize] = Some(queue);
        self.by_key.insert(key.into(), id);
        id
    }

    fn queue(&mut self, id: OriginId) -> &mut OriginQueue<T> {
        let slot = &mut self.slots[id as usize];
        slot.as_mut()
            .expect("an origin is known while it has items")
    }

    /// An item leaves the run.
    pub(crate) fn leave(&mut self, id: OriginId) {
        let crowded = self.by_key.len() > MAX_KNOWN;
        let queue = self.queue(id);
        queue.items -= 1;
        if queue.items == 0 && crowded {
            let key = std::mem::take(&mut queue.key);
            let sent = queue.pace.search().is_some_and(|it| it.requests() > 0);
            self.forgotten += u64::from(sent);
            self.slots[id as usize] = None;
            self.by_key.remove(&key);
            self.free.push(id);
        }
    }

    /// Returns true if an item that has just come may be sent: its origin is open, and no item waits for it.
    pub(crate) fn is_open(&mut self, id: OriginId, now: Duration) -> bool {
        let queue = self.queue(id);
        queue.waiting.is_empty() && queue.opens_at().is_some_and(|at| at <= now)
    }

    /// Time at which an origin may be sent to; none while its concurrency is used up.
    pub(crate) fn opens_at(&self, id: OriginId) -> Option<Duration> {
        self.slots[id as usize]
            .as_ref()
            .and_then(OriginQueue::opens_at)
    }

    /// An item waits for its origin: behind the others, or before them if it was tried before or continues
    /// another. Chains begun last therefore end first, and few are open at once.
    pub(crate) fn wait(&mut self, pending: Box<Pending<T>>) {
        self.waiting += 1;
        self.waiting_bytes += pending.weight;
        let id = pending.origin;
        let first = pending.goes_first();
        let queue = &mut self.queue(id).waiting;
        match first {
            true => queue.push_front(pending),
            false => queue.push_back(pending),
        }
        self.list(id);
    }

    /// An item of this origin is sent.
    pub(crate) fn handle_sent(&mut self, id: OriginId, now: Duration) {
        let queue = self.queue(id);
        queue.in_flight += 1;
        queue.pace.handle_sent(now);
        self.list(id);
    }

    /// An item of this origin is no longer in flight.
    pub(crate) fn handle_landed(&mut self, id: OriginId) {
        self.queue(id).in_flight -= 1;
        self.list(id);
    }

    /// Lets `learn` change an origin's pace, given the number of its other items in flight. The origin may be
    /// sent to earlier than before.
    pub(crate) fn learn(&mut self, id: OriginId, learn: impl FnOnce(&mut Pace, usize)) {
        let queue = self.queue(id);
        let others = queue.in_flight.saturating_sub(1);
        learn(&mut queue.pace, others);
        if let Some(listed) = queue.listed
            && queue.opens_at().is_some_and(|at| at < listed)
        {
            queue.listed = None;
            self.open.remove(&(listed, id));
            self.list(id);
        }
    }

    /// Lists an origin under the time at which it may be sent to, if items wait for it.
    fn list(&mut self, id: OriginId) {
        let queue = self.queue(id);
        if queue.listed.is_none()
            && !queue.waiting.is_empty()
            && let Some(at) = queue.opens_at()
        {
            queue.listed = Some(at);
            self.open.insert((at, id));
        }
    }

    /// Takes the first waiting item whose origin may be sent to now.
    pub(crate) fn take_open(&mut self, now: Duration) -> Option<Box<Pending<T>>> {
        while let Some((at, id)) = self.open.first().copied()
            && at <= now
        {
            self.open.pop_first();
            let queue = self.queue(id);
            queue.listed = None;
            if queue.opens_at().is_some_and(|at| at <= now)
                && let Some(pending) = queue.waiting.pop_front()
            {
                self.waiting -= 1;
                self.waiting_bytes -= pending.weight;
                // Listed again when it is known when the next may be sent.
                return Some(pending);
            }
            self.list(id);
        }
        None
    }

    /// Time at which the next listed origin may be sent to.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.open.first().map(|first| first.0)
    }

    /// Discards all waiting items.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
        for id in 0..self.slots.len() {
            let Some(queue) = &mut self.slots[id] else {
                continue;
            };
            queue.listed = None;
            for _ in std::mem::take(&mut queue.waiting) {
                self.leave(id as OriginId);
            }
        }
        (self.waiting, self.waiting_bytes) = (0, 0);
    }

    /// Number of waiting items.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Bytes of the waiting items.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Requests a second that the origins of items in the run may be sent together; none without a search.
    pub(crate) fn allowed(&self) -> Option<f64> {
        let known = self.slots.iter().flatten().filter(|it| it.items > 0);
        let rates = known.filter_map(|queue| queue.pace.search());
        self.adaptive.then(|| rates.map(Search::rate).sum())
    }

    /// Rates found so far; none without a search.
    pub(crate) fn found(&self) -> Option<FoundRates> {
        if !self.adaptive {
            return None;
        }
        let known = self.slots.iter().flatten();
        let mut all: Vec<(&str, &Search)> = known
            .filter_map(|queue| Some((&*queue.key, queue.pace.search()?)))
            .filter(|(_, search)| search.requests() > 0)
            .collect();
        all.sort_by_key(|(key, search)| (std::cmp::Reverse(search.requests()), *key));
        let others = all.len().saturating_sub(SHOWN) as u64 + self.forgotten;
        let shown = all.into_iter().take(SHOWN).map(|(key, search)| FoundRate {
            origin: key.to_owned(),
            requests: search.requests(),
            per_second: search.found(),
            troubles: search.troubles(),
        });
        Some(FoundRates {
            origins: shown.collect(),
            others,
        })
    }

    /// Number of origins that are slowed now.
    pub(crate) fn slowed(&self, now: Duration) -> usize {
        let known = self.slots.iter().flatten();
        known.filter(|queue| !queue.pace.is_calm(now)).count()
    }
}
