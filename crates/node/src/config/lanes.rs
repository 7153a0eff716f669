//! `[lanes.NAME]` and `[origins."PATTERN"]`: what fetches travel under.

use fetchway_policy::{Clocks, LaneConfig, OriginLimits, QueueBounds, RetryPolicy};
use serde::{Deserialize, Serialize};

use super::{Dur, Pace, Size, Text};

/// The name of the lane and of the origin limits that always exist.
pub const DEFAULT: &str = "default";

/// One lane. What is left out has the default, not the value of the lane `default`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct LaneSection {
    /// Dispatches per window.
    pub rate: Text<Pace>,
    /// Fetches at once, each until its response body ends. Further ones wait in the queue.
    pub concurrency: usize,
    /// Fetches waiting. Further ones are refused with `queue_full`.
    pub queue_count: usize,
    /// Bytes of requests waiting. Further ones are refused with `queue_full`.
    pub queue_bytes: Text<Size>,
    /// How long a fetch may wait. Then it is refused with `queue_timeout`.
    pub queue_wait: Text<Dur>,
    /// Sends of one fetch in all; 1 means no retry.
    pub retry_attempts: u32,
    /// The longest pause before the first retry; doubled for each further one.
    pub retry_base: Text<Dur>,
    /// The longest pause of all.
    pub retry_max: Text<Dur>,
    /// Time to resolve, connect and shake hands. Then `connection_timeout`.
    pub connect_timeout: Text<Dur>,
    /// Time to the response header. Then `http_response_timeout`.
    pub header_timeout: Text<Dur>,
    /// The longest silence of the origin within a body. Then `connection_read_timeout`.
    pub body_idle_timeout: Text<Dur>,
    /// Time in all, the queue excepted. Then `http_response_timeout`.
    pub total_timeout: Text<Dur>,
    /// Bytes of a response body, as received and as decoded. Beyond: `http_response_body_size`.
    pub response_cap: Text<Size>,
}

impl Default for LaneSection {
    fn default() -> Self {
        let LaneConfig {
            rate,
            concurrency,
            queue,
            retry,
            clocks,
            response_cap,
        } = LaneConfig::default();
        Self {
            rate: Text(Pace(rate)),
            concurrency,
            queue_count: queue.count,
            queue_bytes: Text(Size(queue.bytes as u64)),
            queue_wait: Text(Dur(queue.wait)),
            retry_attempts: retry.attempts,
            retry_base: Text(Dur(retry.base)),
            retry_max: Text(Dur(retry.max)),
            connect_timeout: Text(Dur(clocks.connect)),
            header_timeout: Text(Dur(clocks.header)),
            body_idle_timeout: Text(Dur(clocks.body_idle)),
            total_timeout: Text(Dur(clocks.total)),
            response_cap: Text(Size(response_cap)),
        }
    }
}

impl LaneSection {
    /// As the engine takes it.
    #[must_use]
    pub fn to_lane(&self) -> LaneConfig {
        LaneConfig {
            rate: self.rate.0.0,
            concurrency: self.concurrency,
            queue: QueueBounds {
                count: self.queue_count,
                bytes: self.queue_bytes.as_usize(),
                wait: self.queue_wait.0.0,
            },
            retry: RetryPolicy {
                attempts: self.retry_attempts,
                base: self.retry_base.0.0,
                max: self.retry_max.0.0,
            },
            clocks: Clocks {
                connect: self.connect_timeout.0.0,
                header: self.header_timeout.0.0,
                body_idle: self.body_idle_timeout.0.0,
                total: self.total_timeout.0.0,
            },
            response_cap: self.response_cap.0.0,
        }
    }
}

/// Limits of one origin (scheme, host, port), whatever lane a fetch came by.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct OriginSection {
    /// Dispatches per window.
    pub rate: Text<Pace>,
    /// Fetches at once, each until its response body ends. Further ones wait in their lane's queue.
    pub concurrency: usize,
}

impl Default for OriginSection {
    fn default() -> Self {
        let OriginLimits { rate, concurrency } = OriginLimits::default();
        Self {
            rate: Text(Pace(rate)),
            concurrency,
        }
    }
}

impl OriginSection {
    /// As the engine takes it.
    #[must_use]
    pub fn to_limits(&self) -> OriginLimits {
        OriginLimits {
            rate: self.rate.0.0,
            concurrency: self.concurrency,
        }
    }
}
