//! What becomes of a request that is not answered.

use std::borrow::Cow;
use std::fmt;

use fetchway_policy::{ErrorName, FetchError};

use crate::Limits;

/// A request without an answer: what it is called, what happened, and whether it may be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// A response that is not HTTP as it should be.
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

    /// What the failure is called.
    #[must_use]
    pub fn name(&self) -> ErrorName {
        self.error.name
    }

    /// What happened, in a sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.error.detail
    }

    /// Whether the server has provably not processed the request, by its own word (RFC 9113 section
    /// 8.7). What is known from how much was written, the caller has to add.
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

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Failure {}
