//! The error of a fetch, and who reports it.

use std::borrow::Cow;

use fetchway_policy::{ErrorName, FetchError};

/// The side that reports a failed fetch. The name of an error does not tell: `connection_refused` comes from the
/// origin if a relay reports it, and from a relay if the client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum By {
    /// The relay, about the origin or about the request.
    Relay,
    /// The client: it reached no relay, lost it or was closed, has no room, or rejects a request that
    /// no relay would accept. The origin has received nothing, except with `outcome_unknown` and
    /// `http_protocol_error`.
    Client,
    /// The request's body, which failed while it was read.
    Body,
}

/// A failed fetch: the name of the failure, a description, and who reports it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {detail}")]
#[non_exhaustive]
pub struct Error {
    /// The kind of failure.
    pub name: ErrorName,
    /// Description: what happened, to what, and what to do.
    pub detail: Cow<'static, str>,
    /// The side that reports the failure.
    pub by: By,
}

impl Error {
    /// Returns an error that the client reports.
    pub(crate) fn new(name: ErrorName, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name,
            detail: detail.into(),
            by: By::Client,
        }
    }

    /// Returns an error that a relay reports.
    pub(crate) fn of_relay(error: FetchError) -> Self {
        Self {
            name: error.name,
            detail: error.detail,
            by: By::Relay,
        }
    }

    /// Returns the error of a request whose body failed.
    pub(crate) fn of_body(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: ErrorName::Cancelled,
            detail: detail.into(),
            by: By::Body,
        }
    }

    /// Returns the error of a URL that is not valid.
    pub(crate) fn invalid_url(error: &http::Error) -> Self {
        let detail = format!("The URL is not valid ({error}): check it.");
        Self::new(ErrorName::InvalidRequest, detail)
    }
}
