//! The failure of a request.

use std::borrow::Cow;

use fetchway_policy::{ErrorName, FetchError};

use crate::Limits;

/// The failure of a request: its name, a description, and whether the request may be sent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    error: FetchError,
    unsent: bool,
}

impl Failure {
    pub(crate) fn new(name: ErrorName, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            error: FetchError::new(name, detail),
            unsent: false,
        }
    }

    /// Creates the failure for an invalid response.
    pub(crate) fn protocol(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorName::HttpProtocolError, detail)
    }

    pub(crate) fn head_size(limits: &Limits) -> Self {
        let detail = format!(
            "The head of the API's response is over {} bytes.",
            limits.head
        );
        Self::new(ErrorName::HttpResponseHeaderSectionSize, detail)
    }

    pub(crate) fn body_size(limits: &Limits) -> Self {
        let detail = format!(
            "The body of the API's response is over {} bytes.",
            limits.body
        );
        Self::new(ErrorName::HttpResponseBodySize, detail)
    }

    pub(crate) fn unsent(mut self) -> Self {
        self.unsent = true;
        self
    }

    /// Returns the name of the failure.
    #[must_use]
    pub fn name(&self) -> ErrorName {
        self.error.name
    }

    /// Returns the description of the failure, a sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.error.detail
    }

    /// Returns true if the server has stated that it did not process the request (RFC 9113 section
    /// 8.7). The caller must take into account how much of the request was written.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.unsent
    }
}

impl From<Failure> for FetchError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}
