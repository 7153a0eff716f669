//! The outcome of one item.

use bytes::Bytes;
use fetchway_policy::FetchError;
use fetchway_report::{ItemEnd, ItemResponse};
use fetchway_wire::json::Id;
use http::{HeaderMap, StatusCode};
use url::Url;

/// Outcome of one item, or of a page that follows it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Place of the item in the input, from 0.
    pub index: u64,
    /// Page of the item: 0 for the item itself.
    pub depth: u32,
    /// Id of the item, as the input has it.
    pub id: Option<Id>,
    /// Fingerprint of the item.
    pub fingerprint: u64,
    /// URL of the item, as the input has it; of a page, as it was named.
    pub url: String,
    /// The response, whatever its status, or the reason why there is none.
    pub result: Result<Response, FetchError>,
    /// The next page that the response names, if pages are followed. It is fetched too, unless the item has
    /// as many pages as are followed.
    pub next: Option<Url>,
    /// Number of tries in which the item was sent; 0 if it never was.
    pub attempts: u32,
    /// Times of the attempt.
    pub timing: Timing,
}

impl Outcome {
    /// Returns true for a failure: there is no response, or its status is 400 or above. The one rule for
    /// counts, exit codes and `--retry-failed`.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        match &self.result {
            Ok(response) => is_failure(response.status),
            Err(_) => true,
        }
    }

    /// The outcome as statistics count it.
    #[must_use]
    pub fn item_end(&self) -> ItemEnd<'_> {
        ItemEnd {
            scheduled: self.timing.scheduled,
            end: self.timing.end,
            attempts: self.attempts,
            followed: self.depth > 0,
            failed: self.is_failed(),
            result: self.result.as_ref().map(|response| ItemResponse {
                status: response.status.as_u16(),
                bytes: response.body.len() as u64,
            }),
        }
    }
}

/// Returns true if a response of this status counts as a failure.
pub(crate) fn is_failure(status: StatusCode) -> bool {
    status.as_u16() >= 400
}

/// A response with its whole body.
#[derive(Clone, Debug)]
pub struct Response {
    /// URL that the response came from, after redirects.
    pub url: Url,
    /// Status code.
    pub status: StatusCode,
    /// Header fields, without hop-by-hop ones.
    pub headers: HeaderMap,
    /// Decoded body.
    pub body: Bytes,
}

/// Times of an item's last try: microseconds since the Unix epoch, on the run's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Slot of the first try; zero for an item that was never sent.
    pub scheduled: u64,
    /// Handover of the last request to its connection.
    pub sent: Option<u64>,
    /// Arrival of the response's header.
    pub first_byte: Option<u64>,
    /// End of the last try.
    pub end: u64,
}

/// An outcome, with the reservation of memory for it.
#[derive(Debug)]
pub struct Done<H> {
    /// The outcome itself.
    pub outcome: Outcome,
    /// Dropped when the outcome is no longer in memory.
    pub hold: Option<H>,
}
