//! A response whose header has been received: handed over to the caller, or ended because nobody will read
//! it.

use std::time::Duration;

use fetchway_policy::FetchError;
use fetchway_policy::headers::{self, Coding};
use http::{HeaderMap, Method, Response, StatusCode};
use tokio::time::Instant;
use url::Url;

use crate::account::Account;
use crate::admit::Permit;
use crate::body::{Body, Raw, Source, over_cap};
use crate::clock::{BodyClock, Limits};
use crate::decode::Decoder;
use crate::end::End;
use crate::request::FetchRequest;

/// Maximum number of bytes of a response body that are read only to keep its connection.
const DRAIN: u64 = 16 << 10;

/// Longest time for reading such a body: a redirect must not wait long for a body that nobody wants.
const DRAIN_TIME: Duration = Duration::from_millis(250);

/// A response whose header has been received.
#[derive(Debug)]
pub struct Fetched {
    /// Status, header fields without hop-by-hop ones, and the body.
    pub response: Response<Body>,
    /// The URL of the response, after redirects.
    pub url: Url,
    /// Account of the fetch, which holds the body if the body is read whole.
    pub(crate) account: Account,
    /// Maximum size of the body in bytes, as received and again as decoded.
    pub(crate) cap: u64,
}

/// A response's header, and the source of its body.
pub(crate) struct Answer {
    pub(crate) head: Response<()>,
    pub(crate) source: Source,
    pub(crate) permit: Permit,
    pub(crate) limits: Limits,
    pub(crate) total: Instant,
}

impl Answer {
    fn into_raw(self, cap: u64) -> (Response<()>, Raw) {
        let raw = Raw {
            source: self.source,
            clock: BodyClock::new(&self.limits, self.total),
            permit: Some(self.permit),
            cap,
            received: 0,
        };
        (self.head, raw)
    }

    /// Ends a response that nobody will read. A short body is read to its end, so that its connection can
    /// be used again; the permits return after that.
    pub(crate) async fn let_go(self) {
        let (_, mut raw) = self.into_raw(DRAIN);
        if raw.source.left().is_some_and(|left| left > DRAIN) {
            return;
        }
        let drained = async {
            while let Some(Ok(_)) = std::future::poll_fn(|cx| raw.poll_frame(cx)).await {}
        };
        // If the end was not reached in time, dropping the body closes the connection or resets the stream.
        let _ = tokio::time::timeout(DRAIN_TIME, drained).await;
    }

    /// Returns the response to `request` for the caller. `end` travels with its body.
    pub(crate) fn hand_over(
        self,
        request: FetchRequest,
        account: Account,
        mut end: End,
    ) -> Result<Fetched, FetchError> {
        end.status(self.head.status());
        let cap = account.engine().lane_config(request.lane).response_cap;
        if !self.source.is_end() && self.source.left().is_some_and(|left| left > cap) {
            let error = over_cap(cap);
            end.tell(Some(error.name), 0);
            return Err(error);
        }
        let (head, raw) = self.into_raw(cap);
        let (mut head, ()) = head.into_parts();
        let bodiless = request.method == Method::HEAD
            || matches!(
                head.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        let codings = match request.decode && !bodiless {
            true => known_codings(&head.headers),
            false => None,
        };
        headers::strip_response(&mut head.headers);
        if codings.is_some() {
            headers::strip_decoded(&mut head.headers);
        }
        let decoder = codings
            .filter(|codings| !codings.is_empty())
            .map(|codings| Decoder::new(&codings));
        Ok(Fetched {
            response: Response::from_parts(head, Body::new(raw, decoder, end)),
            url: request.url,
            account,
            cap,
        })
    }
}

/// Returns the codings to undo. `None` if one of them is unknown, or there are too many: the body is then
/// handed over as received, with the fields that say so, as WHATWG fetch does ("handle content codings").
/// An error would lose a response whose request was performed.
fn known_codings(headers: &HeaderMap) -> Option<Vec<Coding>> {
    headers::content_codings(headers).ok()
}
