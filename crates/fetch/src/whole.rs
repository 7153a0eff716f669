//! Reads a body whole, within the byte budget: bytes are reserved before they are read.

use bytes::{Bytes, BytesMut};
use fetchway_policy::FetchError;
use http::{HeaderMap, Response};
use http_body::Body as _;
use http_body_util::BodyExt;
use url::Url;

use crate::answer::Fetched;
use crate::body::{Body, over_cap};
use crate::budget::{Hold, account_closed};

/// First reservation for a body of unknown length. It doubles as the body grows.
const FIRST: u64 = 16 << 10;

/// A response whose body has been read.
#[derive(Debug)]
pub struct Whole {
    /// Status, header fields without hop-by-hop ones, and the body.
    pub response: Response<Bytes>,
    /// The URL of the response, after redirects.
    pub url: Url,
    /// Reservation of the response's bytes. Keep it as long as the response is in memory.
    pub hold: Hold,
}

impl Fetched {
    /// Reads the body whole, within a hold of the fetch's account. The hold includes the header fields, the
    /// URL and `weight` further bytes.
    ///
    /// # Errors
    /// The error of the body, or `http_response_body_size` if it is larger than its lane allows.
    pub async fn whole(self, weight: u64) -> Result<Whole, FetchError> {
        let Self { response, url, .. } = self;
        let (head, body) = response.into_parts();
        let beside = weight + fields_weight(&head.headers) + url.as_str().len() as u64;
        // The hold begins after the header: the budget lets the oldest body finish, so a body that still
        // waits for a permit must not count. A younger body might keep that permit until it has room.
        let mut hold = self.account.hold();
        let body = body.whole(&mut hold, beside, self.cap).await?;
        Ok(Whole {
            response: Response::from_parts(head, body),
            url,
            hold,
        })
    }

    /// Reads the body whole and keeps no hold: only the bytes that did not arrive with the header are
    /// reserved, until the last one is read.
    ///
    /// # Errors
    /// The error of the body, or `http_response_body_size` if it is larger than its lane allows.
    pub async fn collect(self) -> Result<Response<Bytes>, FetchError> {
        let (head, mut body) = self.response.into_parts();
        // Most small responses are complete by now, in one piece.
        let first = body.at_once()?.and_then(|frame| frame.into_data().ok());
        if body.is_end_stream() {
            return Ok(Response::from_parts(head, first.unwrap_or_default()));
        }
        let further = body.whole(&mut self.account.hold(), 0, self.cap).await?;
        let body = match first {
            None => further,
            Some(first) => [first, further].concat().into(),
        };
        Ok(Response::from_parts(head, body))
    }
}

/// Memory of header fields, in bytes.
fn fields_weight(fields: &HeaderMap) -> u64 {
    let weights = fields.iter();
    let weights = weights.map(|(name, value)| (name.as_str().len() + value.len() + 32) as u64);
    weights.sum()
}

impl Body {
    /// Reads the body to its end. The hold includes `beside` bytes, such as those of the header.
    ///
    /// While there is no room, nothing is read from the origin, and the fetch counts as paused.
    ///
    /// # Errors
    /// The error of the body, or `http_response_body_size` beyond `cap` bytes.
    pub async fn whole(
        mut self,
        hold: &mut Hold,
        beside: u64,
        cap: u64,
    ) -> Result<Bytes, FetchError> {
        let known = self.size_hint().exact();
        if known.is_some_and(|len| len > cap) {
            return Err(self.fail(over_cap(cap)));
        }
        if self.is_end_stream() {
            self.room(hold, beside).await?;
            hold.complete(0);
            return Ok(Bytes::new());
        }
        let first = known.unwrap_or(FIRST).min(cap);
        self.room(hold, beside + first).await?;
        let mut room = first;
        let mut one = None;
        let mut many = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            let len = (many.len() + one.as_ref().map_or(0, Bytes::len) + data.len()) as u64;
            if len > cap {
                return Err(self.fail(over_cap(cap)));
            }
            if len > room {
                let more = room.max(len - room).min(cap - room);
                self.room(hold, more).await?;
                room += more;
            }
            if one.is_none() && many.is_empty() {
                // Most bodies arrive in one piece, which needs no copy.
                one = Some(data);
                continue;
            }
            many.reserve((room as usize).saturating_sub(many.len()));
            many.extend_from_slice(&one.take().unwrap_or_default());
            many.extend_from_slice(&data);
        }
        let body = one.unwrap_or_else(|| many.freeze());
        hold.complete(room.saturating_sub(body.len() as u64));
        Ok(body)
    }

    async fn room(&mut self, hold: &mut Hold, n: u64) -> Result<(), FetchError> {
        let Some(granted) = hold.reserve(n) else {
            return Ok(());
        };
        self.set_paused(true);
        let granted = granted.await;
        self.set_paused(false);
        granted.map_err(|_| account_closed())
    }
}
