//! Configuration of a run.

use std::fmt;
use std::time::Duration;

use fetchway_policy::{Rate, RetryPolicy};

use super::shared::OnSent;
use crate::follow::Follow;

/// Further tries of a fetch that failed, unless its user says otherwise.
pub const DEFAULT_RETRIES: u32 = 3;
/// Fetches in flight, unless the user of a run says otherwise: with a rate or an adaptive one, and without.
const PACED_CONCURRENCY: usize = 1_024;
const UNPACED_CONCURRENCY: usize = 64;

/// Settings that the user of a run chooses, by flags or parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSettings {
    /// Rate of the run; none means as fast as possible.
    pub rate: Option<Rate>,
    /// See [`RunConfig::strict`].
    pub strict: bool,
    /// See [`RunConfig::adaptive`].
    pub adaptive: bool,
    /// Most fetches in flight; none for the default.
    pub concurrency: Option<usize>,
    /// Further tries of a fetch that failed.
    pub retries: u32,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            rate: None,
            strict: false,
            adaptive: false,
            concurrency: None,
            retries: DEFAULT_RETRIES,
        }
    }
}

impl RunSettings {
    /// Most fetches in flight. Without a rate, more of them would only wait for each other.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        let default = match self.rate.is_some() || self.adaptive {
            true => PACED_CONCURRENCY,
            false => UNPACED_CONCURRENCY,
        };
        self.concurrency.unwrap_or(default)
    }

    /// Configuration of a run with these settings, the pauses of `pauses` between tries, and this cap on waits
    /// that an origin asks for.
    #[must_use]
    pub fn config(&self, pauses: RetryPolicy, wait_cap: Duration) -> RunConfig {
        RunConfig {
            rate: self.rate,
            strict: self.strict,
            adaptive: self.adaptive,
            concurrency: self.concurrency(),
            retry: RetryPolicy {
                retries: self.retries,
                ..pauses
            },
            wait_cap,
            ..RunConfig::default()
        }
    }
}

/// Configuration of a run.
#[derive(Clone)]
#[non_exhaustive]
pub struct RunConfig {
    /// Requests in each window, evenly spaced; none means as fast as possible.
    pub rate: Option<Rate>,
    /// No window of the rate, wherever it begins, holds more requests than the rate says. The schedule is
    /// slower by 5 ms in each window for this, and a window has at most [`MAX_STRICT`](crate::MAX_STRICT)
    /// requests.
    pub strict: bool,
    /// Search for the highest rate that each origin bears, from a modest rate on. `rate` is then the limit of
    /// the whole run.
    pub adaptive: bool,
    /// Most fetches in flight, each until its outcome is taken.
    pub concurrency: usize,
    /// When and how often a fetch is tried again.
    pub retry: RetryPolicy,
    /// Longest time for which an origin may have the run wait (`Retry-After`).
    pub wait_cap: Duration,
    /// Called for each request as it is handed to its connection.
    pub on_sent: Option<OnSent>,
    /// Where responses name pages that are to be fetched too; only for items whose method is GET. Each page
    /// has an outcome of its own, with the item's `index` and its `depth`, after that of the page before it.
    pub follow: Option<Follow>,
    /// Most pages of one item, the item itself not counted.
    pub follow_most: u32,
}

impl fmt::Debug for RunConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunConfig")
            .field("rate", &self.rate)
            .field("strict", &self.strict)
            .field("adaptive", &self.adaptive)
            .field("concurrency", &self.concurrency)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            rate: None,
            strict: false,
            adaptive: false,
            concurrency: UNPACED_CONCURRENCY,
            retry: RetryPolicy::default(),
            wait_cap: Duration::from_secs(60),
            on_sent: None,
            follow: None,
            follow_most: 1_000,
        }
    }
}
