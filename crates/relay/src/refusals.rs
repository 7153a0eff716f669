//! Refusals of new fetches.

use fetchway_policy::{ErrorName, FetchError};

/// The node is shutting down.
pub(crate) fn leaving() -> FetchError {
    let detail = "This node is shutting down and takes no new fetches: send it to another.";
    FetchError::new(ErrorName::DestinationUnavailable, detail)
}

/// The session has as many fetches in progress as it may.
pub(crate) fn too_many() -> FetchError {
    let detail =
        "The session has as many fetches in flight and queued as it may: wait for answers.";
    FetchError::new(ErrorName::QueueFull, detail)
}
