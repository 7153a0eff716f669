//! Rules without clock, randomness or I/O: time and random numbers come in as arguments.
//!
//! Read `error` (what failures are called) and `lane` (what may be configured) first; then, in the
//! order in which a fetch meets them: `headers`, `guard`, `schedule`, `redirect`, `retry`, `budget`. `units` is
//! how durations, sizes and rates are written.

pub mod budget;
mod error;
mod excerpt;
pub mod guard;
pub mod headers;
mod lane;
pub mod redirect;
pub mod retry;
pub mod schedule;
mod slab;
pub mod units;

pub use error::{ErrorName, FetchError};
pub use lane::{Clocks, LaneConfig, OriginLimits, QueueBounds, Rate, RetryPolicy, Timeouts};
