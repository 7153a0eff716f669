//! How an attempt ended, as far as that tells something about its origin.

use std::time::Duration;

use super::hints::Hints;

/// End of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttemptEnd {
    /// A response came.
    Response {
        /// Limits of the origin that the response names.
        hints: Hints,
        /// Time from the request to the response's header; none if it was not measured.
        latency: Option<Duration>,
    },
    /// The connection failed, or no response came in time.
    Failed,
    /// The attempt ended for a reason that says nothing about what the origin bears.
    Unrelated,
}
