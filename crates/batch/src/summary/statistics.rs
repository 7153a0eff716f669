//! What outcomes say, counted as they come.

use std::collections::BTreeMap;

use fetchway_policy::ErrorName;
use hdrhistogram::{Counter, Histogram};

use super::series::{Merge, Series};
use crate::Outcome;

/// Characters of an example of a failure, at most.
const EXAMPLE: usize = 160;
/// The longest latency that is told apart, in microseconds: a day.
const LONGEST: u64 = 86_400_000_000;

/// Counts outcomes. Takes about 4 MB, however long the run is.
#[derive(Clone, Debug)]
pub struct Statistics {
    pub(super) start: u64,
    /// The end of the last outcome.
    pub(super) end: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) statuses: BTreeMap<u16, u64>,
    pub(super) errors: BTreeMap<ErrorName, u64>,
    /// Of each name the first sentence that there was.
    pub(super) examples: BTreeMap<ErrorName, String>,
    pub(super) retried: u64,
    pub(super) never_sent: u64,
    pub(super) followed: u64,
    pub(super) bytes: u64,
    /// Microseconds from the scheduled time to the end, of responses, and of what was sent and got
    /// none.
    pub(super) answered: Histogram<u64>,
    pub(super) unanswered: Histogram<u64>,
    pub(super) series: Series<Ended>,
}

/// What ended in a while.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    /// Of responses; coarse, as there are many of these. Made with the first one.
    pub(super) latency: Option<Histogram<u32>>,
}

impl Merge for Ended {
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

/// A sentence, or its beginning, on one line.
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
    /// Of a run that starts at this moment, in microseconds since the Unix epoch.
    #[must_use]
    pub fn new(start: u64) -> Self {
        Self {
            start,
            end: start,
            succeeded: 0,
            failed: 0,
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            examples: BTreeMap::new(),
            retried: 0,
            never_sent: 0,
            followed: 0,
            bytes: 0,
            answered: histogram(3),
            unanswered: histogram(3),
            series: Series::new(start),
        }
    }

    /// Counts one outcome.
    pub fn record(&mut self, outcome: &Outcome) {
        let timing = &outcome.timing;
        let sent = outcome.attempts > 0;
        let latency = timing.end.saturating_sub(timing.scheduled).max(1);
        self.end = self.end.max(timing.end);
        self.retried += u64::from(outcome.attempts > 1);
        self.never_sent += u64::from(!sent);
        self.followed += u64::from(outcome.depth > 0);
        let ended = self.series.at(timing.end);
        if outcome.is_failed() {
            self.failed += 1;
            ended.failed += 1;
        } else {
            self.succeeded += 1;
            ended.succeeded += 1;
        }
        match &outcome.result {
            Ok(response) => {
                *self.statuses.entry(response.status.as_u16()).or_default() += 1;
                self.bytes += response.body.len() as u64;
                if sent {
                    self.answered.saturating_record(latency);
                    let coarse = ended.latency.get_or_insert_with(|| histogram(2));
                    coarse.saturating_record(latency);
                }
            }
            Err(error) => {
                *self.errors.entry(error.name).or_default() += 1;
                let example = self.examples.entry(error.name);
                example.or_insert_with(|| excerpt(&error.detail));
                if sent {
                    self.unanswered.saturating_record(latency);
                }
            }
        }
    }

    /// Items with an outcome.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.succeeded + self.failed
    }

    /// Of these, the ones that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }
}
