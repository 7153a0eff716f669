//! What performs a fetch, and how it asks to send one: the one thing that a run does not do itself.

use std::future::Future;

use fetchway_policy::{FetchError, OriginLimits};
use url::Url;

use crate::handover::Handover;
use crate::item::Request;
use crate::outcome::Response;

/// Performs fetches, each once: what is tried again, and when, is the run's to say.
pub trait Performer: Send + Sync + 'static {
    /// What keeps room for a response; held until its outcome is let go.
    type Hold: Send + 'static;

    /// Performs `request` to the end of its response's body. It calls [`Handover::pass`] before each
    /// request that it sends, redirects and resends too, and [`Handover::answered`] when the response's
    /// header is there.
    ///
    /// Of a run that is stopped, a fetch that fails with `cancelled` has no outcome: so a performer that is
    /// told of the stop gives back what it had no way to send yet.
    fn perform(
        &self,
        request: &Request,
        handover: &Handover<'_>,
    ) -> impl Future<Output = Result<(Response, Self::Hold), FetchError>> + Send;

    /// What an origin may be sent: the run keeps items back for that, so that they hold up no others.
    fn limits(&self, origin: &Url) -> OriginLimits {
        let _ = origin;
        OriginLimits {
            rate: None,
            concurrency: usize::MAX,
        }
    }
}
