//! What became of one item.

use bytes::Bytes;
use fetchway_policy::FetchError;
use fetchway_wire::json::{Encoder, Id};
use http::{HeaderMap, StatusCode};
use url::Url;

/// What became of one item, in full.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its place in the input, from 0.
    pub index: u64,
    /// Which of the item's pages it is of: 0 for the item itself.
    pub depth: u32,
    /// What the input calls it.
    pub id: Option<Id>,
    /// The item's.
    pub fingerprint: u64,
    /// The item's.
    pub url: String,
    /// The response, whatever its status; or why there is none.
    pub result: Result<Response, FetchError>,
    /// The page that the response names as the one after it, where pages are followed. It is fetched
    /// too, unless there were as many as may be.
    pub next: Option<Url>,
    /// Times that it was sent; 0 if it never was.
    pub attempts: u32,
    /// When what happened.
    pub timing: Timing,
}

impl Outcome {
    /// Whether it counts as a failure: there is no response, or its status is 400 or above. The one
    /// rule for counts, exit codes and what is tried again.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        match &self.result {
            Ok(response) => is_failure(response.status),
            Err(_) => true,
        }
    }

    /// Its line of an output, line end included, to be written piece by piece.
    #[must_use]
    pub fn into_line(self) -> Encoder {
        crate::line::encoder(self)
    }
}

/// Whether a response of this status counts as a failure.
pub(crate) fn is_failure(status: StatusCode) -> bool {
    status.as_u16() >= 400
}

/// A response, whole.
#[derive(Clone, Debug)]
pub struct Response {
    /// Where it came from, after redirects.
    pub url: Url,
    /// Its status.
    pub status: StatusCode,
    /// Its fields, hop-by-hop ones removed.
    pub headers: HeaderMap,
    /// Its body, decoded.
    pub body: Bytes,
}

/// When what happened to an item, of the try that counts: microseconds since the Unix epoch, on the
/// run's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// It was to be sent first. Zero for one that never was.
    pub scheduled: u64,
    /// The last try was handed to its connection.
    pub sent: Option<u64>,
    /// The response's header was there.
    pub first_byte: Option<u64>,
    /// All was over.
    pub end: u64,
}
