//! What a lane and an origin allow: plain data that the engine and the schedule read.

use std::time::Duration;

/// Dispatches per window, held on an absolute schedule (t0 + k/rate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many dispatches a window holds; at least 1.
    pub count: u32,
    /// The window's length; more than zero.
    pub window: Duration,
}

impl Rate {
    /// The time between two dispatches.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.window / self.count.max(1)
    }

    /// Dispatches a second, on average.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.count.max(1)) / self.window.as_secs_f64()
    }
}

/// What a lane's queue may hold. Beyond any bound a fetch is refused by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueBounds {
    /// Fetches waiting, of all accounts together.
    pub count: usize,
    /// Bytes of request bodies and headers waiting, of all accounts together.
    pub bytes: usize,
    /// How long one fetch may wait.
    pub wait: Duration,
}

/// The four clocks of a fetch. Waiting for the client to read pauses `body_idle` and `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Resolve, connect and TLS handshake together.
    pub connect: Duration,
    /// From the request being handed to its connection to the response header.
    pub header: Duration,
    /// The longest silence of the origin within a body.
    pub body_idle: Duration,
    /// From dispatch to the end of the body, redirects and retries included; the queue is not.
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

/// Clocks that one fetch asks for. Each may only shorten its lane's.
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
    /// These, and `most` in all; none adds nothing.
    #[must_use]
    pub fn within(self, most: Option<Duration>) -> Self {
        let total = [self.total, most].into_iter().flatten().min();
        Self { total, ..self }
    }
}

impl Clocks {
    /// A lane's clocks, shortened as one fetch asks.
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

/// When and how often a lane sends a failed fetch again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Sends in all; 1 means never again.
    pub attempts: u32,
    /// The backoff's upper bound before the first retry; doubled for each further one.
    pub base: Duration,
    /// The backoff's upper bound at most.
    pub max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 1,
            base: Duration::from_millis(250),
            max: Duration::from_secs(30),
        }
    }
}

/// A lane: a named policy that fetches travel under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneConfig {
    /// Dispatch rate; none means unpaced.
    pub rate: Option<Rate>,
    /// Permits. One is held from dispatch until the response body ends.
    pub concurrency: usize,
    /// The lane's queue.
    pub queue: QueueBounds,
    /// Retries; off unless configured.
    pub retry: RetryPolicy,
    /// Timeouts.
    pub clocks: Clocks,
    /// Bytes of a response body, as received and again as decoded.
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

/// Limits of one origin (scheme, host, port), whatever lane a fetch came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginLimits {
    /// Dispatch rate; none means unpaced.
    pub rate: Option<Rate>,
    /// Permits. One is held from dispatch until the response body ends.
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
