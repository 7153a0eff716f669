//! What a fetch fails with, and who says so.

use std::borrow::Cow;
use std::fmt;

use fetchway_policy::{ErrorName, FetchError};

/// Who says that a fetch failed. The names alone do not tell: `connection_refused` is the origin's
/// doing if a relay says it, and a relay's if the client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum By {
    /// A relay: of the origin, or of what it was asked for.
    Relay,
    /// The client: it reached no relay or lost it, was closed, has no room, or knows that no relay
    /// would take the request. But for `outcome_unknown` and `http_protocol_error` no origin has
    /// been asked.
    Client,
    /// The request's body, which failed as it was read.
    Body,
}

/// A failed fetch: its name, a sentence for whoever has to act on it, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Error {
    /// What kind of failure.
    pub name: ErrorName,
    /// What happened, to what, and what to do.
    pub detail: Cow<'static, str>,
    /// Who says so.
    pub by: By,
}

impl Error {
    /// A failure of the client's own.
    pub(crate) fn new(name: ErrorName, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name,
            detail: detail.into(),
            by: By::Client,
        }
    }

    /// What a relay says.
    pub(crate) fn of_relay(error: FetchError) -> Self {
        Self {
            name: error.name,
            detail: error.detail,
            by: By::Relay,
        }
    }

    /// The request's body has failed.
    pub(crate) fn of_body(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: ErrorName::Cancelled,
            detail: detail.into(),
            by: By::Body,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.detail)
    }
}

impl std::error::Error for Error {}
