//! The interface to whatever performs fetches.

use std::future::Future;

use fetchway_policy::{FetchError, OriginLimits};
use url::Url;

use super::handover::Handover;
use crate::item::Request;
use crate::outcome::Response;

/// Performs fetches, each once: the run decides what is tried again, and when.
pub trait Performer: Send + Sync + 'static {
    /// Reservation of memory for a response; held until its outcome is dropped.
    type Hold: Send + 'static;

    /// Performs `request` to the end of its response's body. Must call [`Handover::pass`] before each request
    /// that is sent, redirects and resends included, and [`Handover::answered`] when the response's header has
    /// come.
    ///
    /// In a stopped run, a fetch that fails with `cancelled` has no outcome, so a performer that knows about
    /// the stop can return what it has not sent yet.
    fn perform(
        &self,
        request: &Request,
        handover: &Handover<'_>,
    ) -> impl Future<Output = Result<(Response, Self::Hold), FetchError>> + Send;

    /// Limits of an origin. The run keeps its items back accordingly, so that they hold up no others.
    fn limits(&self, origin: &Url) -> OriginLimits {
        let _ = origin;
        OriginLimits {
            rate: None,
            concurrency: usize::MAX,
        }
    }
}
