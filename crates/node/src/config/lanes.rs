//! `[lanes.NAME]` and `[origins."PATTERN"]`: limits of fetches.

use std::time::Duration;

use fetchway_policy::units::{Pace, Size};
use fetchway_policy::{Clocks, LaneConfig, OriginLimits, QueueBounds, RetryPolicy};

use super::bounds::{at_least, some, some_time};
use super::setting::section;

/// The name of the lane and of the origin limits that always exist.
pub const DEFAULT: &str = "default";

section! {
    /// One lane. A key that is left out has its default, not the value of the lane `default`.
    pub struct LaneSection {
        /// Dispatches per window.
        rate: Pace = Pace(LaneConfig::default().rate);
        /// Fetches at once, each until its response body ends. Further ones wait in the queue.
        concurrency: usize = LaneConfig::default().concurrency, some;
        /// Waiting fetches. Further ones are refused with `queue_full`.
        queue_count: usize = LaneConfig::default().queue.count, some;
        /// Bytes of waiting requests. Further ones are refused with `queue_full`.
        queue_bytes: Size = Size(LaneConfig::default().queue.bytes as u64), at_least(1 << 10);
        /// Time that a fetch may wait. Then it is refused with `queue_timeout`.
        queue_wait: Duration = LaneConfig::default().queue.wait, some_time;
        /// Further tries of a fetch that failed; 0 means none.
        retries: u32 = RetryPolicy::default().retries;
        /// Longest pause before the first retry; doubled for each further one.
        retry_base: Duration = RetryPolicy::default().base, some_time;
        /// Longest pause of all.
        retry_max: Duration = RetryPolicy::default().max;
        /// Time to resolve, connect and shake hands. Then `connection_timeout`.
        connect_timeout: Duration = Clocks::default().connect, some_time;
        /// Time to the response header. Then `http_response_timeout`.
        header_timeout: Duration = Clocks::default().header, some_time;
        /// Longest silence of the origin within a body. Then `connection_read_timeout`.
        body_idle_timeout: Duration = Clocks::default().body_idle, some_time;
        /// Time in all, without the queue. Then `http_response_timeout`.
        total_timeout: Duration = Clocks::default().total, some_time;
        /// Bytes of a response body, as received and as decoded. Beyond: `http_response_body_size`.
        response_cap: Size = Size(LaneConfig::default().response_cap), at_least(1);
    }
}

impl LaneSection {
    /// Returns the lane as the engine takes it.
    #[must_use]
    pub fn to_lane(&self) -> LaneConfig {
        LaneConfig {
            rate: self.rate.0,
            concurrency: self.concurrency,
            queue: QueueBounds {
                count: self.queue_count,
                bytes: self.queue_bytes.as_usize(),
                wait: self.queue_wait,
            },
            retry: RetryPolicy {
                retries: self.retries,
                base: self.retry_base,
                max: self.retry_max,
            },
            clocks: Clocks {
                connect: self.connect_timeout,
                header: self.header_timeout,
                body_idle: self.body_idle_timeout,
                total: self.total_timeout,
            },
            response_cap: self.response_cap.0,
        }
    }
}

section! {
    /// Limits of one origin (scheme, host, port), for the fetches of all lanes.
    pub struct OriginSection {
        /// Dispatches per window.
        rate: Pace = Pace(OriginLimits::default().rate);
        /// Fetches at once, each until its response body ends. Further ones wait in their lane's queue.
        concurrency: usize = OriginLimits::default().concurrency, some;
    }
}

impl OriginSection {
    /// Returns the limits as the engine takes them.
    #[must_use]
    pub fn to_limits(&self) -> OriginLimits {
        OriginLimits {
            rate: self.rate.0,
            concurrency: self.concurrency,
        }
    }
}
