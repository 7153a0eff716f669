//! Rules without clock, randomness or I/O: time and random numbers are arguments.
//!
//! Read `error` (names of failures), `lane` (limits and policies) and `request` first; then, in the order in
//! which a fetch meets them: `headers`, `guard`, `schedule`, `redirect`, `retry`, `budget`. `units` has the text
//! forms of durations, sizes and rates.

pub mod budget;
mod error;
mod excerpt;
pub mod guard;
pub mod headers;
mod lane;
pub mod redirect;
mod request;
pub mod retry;
pub mod schedule;
mod slab;
pub mod units;

pub use error::{ErrorName, FetchError};
pub use lane::{Clocks, LaneConfig, OriginLimits, QueueBounds, Rate, RetryPolicy, Timeouts};
pub use request::Request;
