//! The origins of a run: what waits for each, and which of them may be sent to.
//!
//! An item waits here when its origin may not be sent to yet, and only then: the others of the run pass
//! it by.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use fetchway_policy::{OriginLimits, Rate};

use crate::job::Job;
use crate::origin::{Pace, Search};
use crate::progress::{Adaptive, AdaptiveRate};

/// Origins known at once. Beyond it, one is forgotten with its last item, and what was learnt of it.
const MAX_KNOWN: usize = 16_384;

/// Rates found that are told, of the origins with the most requests.
const SHOWN: usize = 16;

/// An origin's number; valid while one of its jobs is in the run.
pub(crate) type OriginId = u32;

pub(crate) struct Origin {
    key: Box<str>,
    pub(crate) pace: Pace,
    /// The most in flight.
    concurrency: usize,
    pub(crate) in_flight: usize,
    waiting: VecDeque<Box<Job>>,
    /// Where it stands in `open`, if it does.
    listed: Option<Duration>,
    /// Jobs in the run, in flight or not.
    jobs: usize,
}

impl Origin {
    /// When it may be sent to, were it not for its concurrency.
    fn opens_at(&self) -> Option<Duration> {
        (self.in_flight < self.concurrency).then(|| self.pace.next_at())
    }
}

#[derive(Default)]
pub(crate) struct Origins {
    by_key: HashMap<Box<str>, OriginId>,
    slots: Vec<Option<Origin>>,
    free: Vec<OriginId>,
    /// Those for which something waits, by the time at which they may be sent to; it may have moved.
    open: BTreeSet<(Duration, OriginId)>,
    /// The highest rate that each bears is searched for.
    pub(crate) adaptive: bool,
    /// Of those forgotten, the ones that were sent to.
    forgotten: u64,
    /// Jobs that wait, and their bytes.
    pub(crate) waiting: usize,
    pub(crate) waiting_bytes: usize,
}

impl Origins {
    /// A job for the origin called `key` comes into the run. `limits` are asked for once.
    pub(crate) fn enter(&mut self, key: &str, limits: impl FnOnce() -> OriginLimits) -> OriginId {
        let known = self.by_key.get(key).copied();
        let id = known.unwrap_or_else(|| self.add(key, limits()));
        self.at(id).jobs += 1;
        id
    }

    fn add(&mut self, key: &str, limits: OriginLimits) -> OriginId {
        let configured = limits.rate.map(Rate::per_second);
        let origin = Origin {
            key: key.into(),
            pace: Pace::new(configured, self.adaptive),
            concurrency: limits.concurrency.max(1),
            in_flight: 0,
            waiting: VecDeque::new(),
            listed: None,
            jobs: 0,
        };
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // Fewer than the jobs of a run, which are bounded.
            OriginId::try_from(self.slots.len() - 1).unwrap_or(OriginId::MAX)
        });
        self.slots[id as usize] = Some(origin);
        self.by_key.insert(key.into(), id);
        id
    }

    pub(crate) fn at(&mut self, id: OriginId) -> &mut Origin {
        let slot = &mut self.slots[id as usize];
        slot.as_mut().expect("an origin is known while it has jobs")
    }

    /// A job leaves the run.
    pub(crate) fn leave(&mut self, id: OriginId) {
        let crowded = self.by_key.len() > MAX_KNOWN;
        let origin = self.at(id);
        origin.jobs -= 1;
        if origin.jobs == 0 && crowded {
            let key = std::mem::take(&mut origin.key);
            let sent = origin.pace.search().is_some_and(|it| it.requests > 0);
            self.forgotten += u64::from(sent);
            self.slots[id as usize] = None;
            self.by_key.remove(&key);
            self.free.push(id);
        }
    }

    /// Whether a job just come may be sent: those before it have been.
    pub(crate) fn is_open(&mut self, id: OriginId, now: Duration) -> bool {
        let origin = self.at(id);
        origin.waiting.is_empty() && origin.opens_at().is_some_and(|at| at <= now)
    }

    /// When an origin may be sent to, if that is a matter of time.
    pub(crate) fn opens_at(&self, id: OriginId) -> Option<Duration> {
        self.slots[id as usize].as_ref().and_then(Origin::opens_at)
    }

    /// A job waits for its origin: behind the others, or before them if it was sent before or is a page
    /// that follows another. So the chains that were begun last end first, and few are open.
    pub(crate) fn wait(&mut self, job: Box<Job>) {
        self.waiting += 1;
        self.waiting_bytes += job.weight;
        let (id, again) = (job.origin, job.tries > 0 || job.depth > 0);
        let queue = &mut self.at(id).waiting;
        match again {
            true => queue.push_front(job),
            false => queue.push_back(job),
        }
        self.list(id);
    }

    /// Enters an origin among those that may be sent to, as far as it may.
    pub(crate) fn list(&mut self, id: OriginId) {
        let origin = self.at(id);
        if origin.listed.is_none()
            && !origin.waiting.is_empty()
            && let Some(at) = origin.opens_at()
        {
            origin.listed = Some(at);
            self.open.insert((at, id));
        }
    }

    /// The same of one that may be sent to earlier than it was to be.
    pub(crate) fn relist(&mut self, id: OriginId) {
        let origin = self.at(id);
        if let Some(listed) = origin.listed
            && origin.opens_at().is_some_and(|at| at < listed)
        {
            origin.listed = None;
            self.open.remove(&(listed, id));
            self.list(id);
        }
    }

    /// The first job that waits for an origin which may be sent to now.
    pub(crate) fn next(&mut self, now: Duration) -> Option<Box<Job>> {
        while let Some(first) = self.open.first().copied()
            && first.0 <= now
        {
            self.open.pop_first();
            let origin = self.at(first.1);
            origin.listed = None;
            if origin.opens_at().is_some_and(|at| at <= now)
                && let Some(job) = origin.waiting.pop_front()
            {
                self.waiting -= 1;
                self.waiting_bytes -= job.weight;
                // Listed again when it is known when the next may be sent.
                return Some(job);
            }
            self.list(first.1);
        }
        None
    }

    /// When the next one may be sent to, or be looked at again.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.open.first().map(|first| first.0)
    }

    /// Gives up all that waits.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
        for id in 0..self.slots.len() {
            let Some(origin) = &mut self.slots[id] else {
                continue;
            };
            origin.listed = None;
            for _ in std::mem::take(&mut origin.waiting) {
                self.leave(id as OriginId);
            }
        }
        (self.waiting, self.waiting_bytes) = (0, 0);
    }

    /// What may be sent a second now, to those that something is in the run for; none without a search.
    pub(crate) fn allowed(&self) -> Option<f64> {
        let known = self.slots.iter().flatten().filter(|it| it.jobs > 0);
        let rates = known.filter_map(|origin| origin.pace.search());
        self.adaptive.then(|| rates.map(Search::rate).sum())
    }

    /// The rates found, if they were searched for.
    pub(crate) fn found(&self) -> Option<Adaptive> {
        if !self.adaptive {
            return None;
        }
        let known = self.slots.iter().flatten();
        let mut all: Vec<(&str, &Search)> = known
            .filter_map(|origin| Some((&*origin.key, origin.pace.search()?)))
            .filter(|(_, search)| search.requests > 0)
            .collect();
        all.sort_by_key(|(key, search)| (std::cmp::Reverse(search.requests), *key));
        let others = all.len().saturating_sub(SHOWN) as u64 + self.forgotten;
        let shown = all
            .into_iter()
            .take(SHOWN)
            .map(|(key, search)| AdaptiveRate {
                origin: key.to_owned(),
                requests: search.requests,
                per_second: search.found(),
                troubles: search.troubles,
            });
        Some(Adaptive {
            origins: shown.collect(),
            others,
        })
    }

    /// Origins that are slowed now.
    pub(crate) fn slowed(&self, now: Duration) -> usize {
        let known = self.slots.iter().flatten();
        known.filter(|origin| !origin.pace.is_calm(now)).count()
    }
}
