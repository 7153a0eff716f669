//! Why a fetch got no response, or only a part of one.

use std::sync::Arc;

use fetchway_policy::ErrorName;

use crate::error::Error;

/// Why a fetch got no response, or only a part of one.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The relay reported a failure, or the request's body failed.
    Failed(Error),
    /// The session ended before the fetch did.
    Lost {
        /// True if the request may have reached the relay, so that its outcome is unknown.
        sent: bool,
        /// Why the session ended.
        why: Arc<str>,
    },
}

impl Failure {
    /// Returns the error for the caller, for a fetch that is not sent again.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::Lost { sent: true, why } => Error::new(
                ErrorName::OutcomeUnknown,
                format!(
                    "The relay was lost ({why}), so the outcome of the fetch is unknown: find it out before you send the request again."
                ),
            ),
            Self::Lost { sent: false, why } => Error::new(
                ErrorName::DestinationUnavailable,
                format!("The relay was lost ({why}) before the fetch was sent: send it again."),
            ),
        }
    }
}
