//! Counts items as they end.

use std::collections::BTreeMap;

use fetchway_policy::FetchError;
use hdrhistogram::{Counter, Histogram};

use super::series::{Merge, Series};
use super::types::Items;

/// Most characters of an example of a failure.
const EXAMPLE: usize = 160;
/// Longest latency that is told apart, in microseconds: a day.
const LONGEST: u64 = 86_400_000_000;

/// An item that has ended.
#[derive(Clone, Copy, Debug)]
pub struct ItemEnd<'a> {
    /// Slot of the first try, in microseconds since the Unix epoch; zero if the item was never sent.
    pub scheduled: u64,
    /// End of the last try, in microseconds since the Unix epoch.
    pub end: u64,
    /// Number of tries in which the item was sent.
    pub attempts: u32,
    /// The item is a page that a response named.
    pub followed: bool,
    /// The item counts as failed.
    pub failed: bool,
    /// The response, or the reason why there is none.
    pub result: Result<ItemResponse, &'a FetchError>,
}

/// Response of an item.
#[derive(Clone, Copy, Debug)]
pub struct ItemResponse {
    /// Status code.
    pub status: u16,
    /// Length of the decoded body.
    pub bytes: u64,
}

/// Statistics of items. Takes about 4 MB, however long the run is.
#[derive(Clone, Debug)]
pub struct Statistics {
    pub(super) start: u64,
    pub(super) items: Items,
    pub(super) retried_items: u64,
    pub(super) statuses: BTreeMap<u16, u64>,
    pub(super) errors: BTreeMap<&'static str, u64>,
    /// First message of each error name.
    pub(super) error_examples: BTreeMap<&'static str, String>,
    pub(super) bytes: u64,
    /// Microseconds from the scheduled time to the end, of items with a response, and of items that were sent
    /// and got none.
    pub(super) answered: Histogram<u64>,
    pub(super) unanswered: Histogram<u64>,
    pub(super) series: Series<EndedItems>,
}

/// Items that ended in one point of time.
#[derive(Clone, Debug, Default)]
pub(super) struct EndedItems {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    /// Latency of responses; coarse, because there is one histogram for each point. Made with the first one.
    pub(super) latency: Option<Histogram<u32>>,
}

impl Merge for EndedItems {
    fn merge(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        match (&mut self.latency, &other.latency) {
            (_, None) => {}
            (Some(own), Some(other)) => {
                let added = own.add(other);
                debug_assert!(added.is_ok(), "both have the same bounds");
            }
            (own @ None, Some(_)) => own.clone_from(&other.latency),
        }
    }
}

fn histogram<C: Counter>(digits: u8) -> Histogram<C> {
    match Histogram::new_with_bounds(1, LONGEST, digits) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("the bounds are constants: {error}"),
    }
}

/// Returns a message, or its beginning, on one line.
fn excerpt(sentence: &str) -> String {
    let mut left = sentence
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c });
    let mut excerpt: String = left.by_ref().take(EXAMPLE).collect();
    if left.next().is_some() {
        excerpt.pop();
        excerpt.push('…');
    }
    excerpt
}

impl Statistics {
    /// Statistics of a run that starts at `start`, in microseconds since the Unix epoch.
    #[must_use]
    pub fn new(start: u64) -> Self {
        Self {
            start,
            items: Items::default(),
            retried_items: 0,
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            error_examples: BTreeMap::new(),
            bytes: 0,
            answered: histogram(3),
            unanswered: histogram(3),
            series: Series::new(start),
        }
    }

    /// Counts an item that has ended.
    pub fn record(&mut self, item: &ItemEnd<'_>) {
        let sent = item.attempts > 0;
        let latency = item.end.saturating_sub(item.scheduled).max(1);
        self.retried_items += u64::from(item.attempts > 1);
        self.items.done += 1;
        self.items.never_sent += u64::from(!sent);
        self.items.followed += u64::from(item.followed);
        let point = self.series.at(item.end);
        if item.failed {
            self.items.failed += 1;
            point.failed += 1;
        } else {
            self.items.succeeded += 1;
            point.succeeded += 1;
        }
        match item.result {
            Ok(response) => {
                *self.statuses.entry(response.status).or_default() += 1;
                self.bytes += response.bytes;
                if sent {
                    self.answered.saturating_record(latency);
                    let coarse = point.latency.get_or_insert_with(|| histogram(2));
                    coarse.saturating_record(latency);
                }
            }
            Err(error) => {
                let name = error.name.as_str();
                *self.errors.entry(name).or_default() += 1;
                let example = self.error_examples.entry(name);
                example.or_insert_with(|| excerpt(&error.detail));
                if sent {
                    self.unanswered.saturating_record(latency);
                }
            }
        }
    }
}
