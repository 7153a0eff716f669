//! Limits and policies of lanes, origins and accounts: plain data for the engine and the schedule.

use std::time::Duration;

/// A rate: dispatches per window, on an absolute schedule (t0 + k/rate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Dispatches in each window; at least 1.
    pub count: u32,
    /// Length of the window; more than zero.
    pub window: Duration,
}

impl Rate {
    /// Time between two dispatches.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.window / self.count.max(1)
    }

    /// Dispatches per second, on average.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.count.max(1)) / self.window.as_secs_f64()
    }
}

/// Bounds of a lane's queue. Beyond any of them a fetch is refused with `queue_full` or `queue_timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueBounds {
    /// Fetches waiting, of all accounts together.
    pub count: usize,
    /// Bytes of request bodies and headers waiting, of all accounts together.
    pub bytes: usize,
    /// Longest time that one fetch may wait.
    pub wait: Duration,
}

/// The four timeouts of a fetch. Time in which the client does not read does not count for `body_idle` and
/// `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Time for name resolution, connect and TLS handshake together.
    pub connect: Duration,
    /// Time from the handover of the request to its connection until the response header.
    pub header: Duration,
    /// Longest silence of the origin within a body.
    pub body_idle: Duration,
    /// Time from dispatch until the end of the body, with redirects and retries, without the queue.
    pub total: Duration,
}

impl Default for Clocks {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            header: Duration::from_secs(300),
            body_idle: Duration::from_secs(60),
            total: Duration::from_secs(15 * 60),
        }
    }
}

/// Timeouts of one fetch. Each may only shorten the timeout of its lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// See [`Clocks::connect`].
    pub connect: Option<Duration>,
    /// See [`Clocks::header`].
    pub header: Option<Duration>,
    /// See [`Clocks::body_idle`].
    pub body_idle: Option<Duration>,
    /// See [`Clocks::total`].
    pub total: Option<Duration>,
}

impl Timeouts {
    /// Returns these timeouts with a total of at most `most`. `None` changes nothing.
    #[must_use]
    pub fn within(self, most: Option<Duration>) -> Self {
        let total = [self.total, most].into_iter().flatten().min();
        Self { total, ..self }
    }
}

impl Clocks {
    /// Returns a lane's timeouts, shortened as one fetch asks.
    #[must_use]
    pub fn shortened(self, by: &Timeouts) -> Self {
        let shorter =
            |lane: Duration, fetch: Option<Duration>| fetch.map_or(lane, |fetch| fetch.min(lane));
        Self {
            connect: shorter(self.connect, by.connect),
            header: shorter(self.header, by.header),
            body_idle: shorter(self.body_idle, by.body_idle),
            total: shorter(self.total, by.total),
        }
    }
}

/// Retries of a lane: how often a failed fetch is sent again, and after which pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Maximum number of further tries; 0 means none.
    pub retries: u32,
    /// Upper bound of the pause before the first retry. It doubles for each further retry.
    pub base: Duration,
    /// Largest upper bound of a pause.
    pub max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 0,
            base: Duration::from_millis(250),
            max: Duration::from_secs(30),
        }
    }
}

/// A lane: a named policy for fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneConfig {
    /// Dispatch rate; `None` means no pace.
    pub rate: Option<Rate>,
    /// Number of permits. A fetch holds one from its dispatch until its response body ends.
    pub concurrency: usize,
    /// The lane's queue.
    pub queue: QueueBounds,
    /// Retries; none unless configured.
    pub retry: RetryPolicy,
    /// Timeouts.
    pub clocks: Clocks,
    /// Maximum number of bytes of a response body, as received and again as decoded.
    pub response_cap: u64,
}

impl Default for LaneConfig {
    fn default() -> Self {
        Self {
            rate: None,
            concurrency: 16_384,
            queue: QueueBounds {
                count: 100_000,
                bytes: 256 << 20,
                wait: Duration::from_secs(300),
            },
            retry: RetryPolicy::default(),
            clocks: Clocks::default(),
            response_cap: 32 << 20,
        }
    }
}

/// Limits of one origin (scheme, host, port), for the fetches of all lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginLimits {
    /// Dispatch rate; `None` means no pace.
    pub rate: Option<Rate>,
    /// Number of permits. A fetch holds one from its dispatch until its response body ends.
    pub concurrency: usize,
}

impl Default for OriginLimits {
    fn default() -> Self {
        Self {
            rate: None,
            concurrency: 8_192,
        }
    }
}

/// Limits of one account, over all lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountLimits {
    /// Maximum number of fetches in flight. More wait. At 0, no fetch ever starts.
    pub in_flight: usize,
    /// Maximum number of waiting fetches. More are refused.
    pub queued: usize,
    /// Maximum number of bytes of waiting requests. More are refused.
    pub queued_bytes: usize,
}
