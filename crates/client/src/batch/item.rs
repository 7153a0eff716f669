//! An item of a batch, and all items as the body of a request.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use fetchway_policy::ErrorName;
use futures_core::Stream;
use http::{Method, Request};
use http_body::Frame;

use crate::error::Error;
use crate::link::{MAX_REQUEST, batch_line};
use crate::options::Failover;
use crate::request::PreparedRequest;

/// Bytes up to which lines are joined into one piece of the body, if they are available at once.
const PIECE: usize = 16 << 10;

/// One fetch of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchItem {
    /// The item as a line of JSON, without a line end.
    line: Bytes,
}

impl BatchItem {
    /// Returns the item for a request with its whole body. The request's URI must be absolute.
    /// [`Options`](crate::Options) are passed as an extension of the request; a batch ignores failover.
    ///
    /// # Errors
    /// `invalid_request` or `limit_exceeded` for a request that no relay would accept. An item may have
    /// at most 48 MiB as a line of JSON.
    pub fn new(request: Request<Bytes>) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let is_bodiless = matches!(parts.method, Method::GET | Method::HEAD);
        if is_bodiless && !body.is_empty() {
            let detail = format!(
                "A {} request cannot have a body: remove it, or use POST.",
                parts.method
            );
            return Err(Error::new(ErrorName::InvalidRequest, detail));
        }
        let head = PreparedRequest::new(parts, Failover::Never, None)?.head;
        check_length(body.len())?;
        let line = batch_line(&head, &body)?;
        check_length(line.len())?;
        Ok(Self { line: line.into() })
    }

    /// Returns the item for a GET of a URL, without header fields or options.
    ///
    /// # Errors
    /// `invalid_request` if `url` is not a valid URL.
    pub fn get(url: &str) -> Result<Self, Error> {
        let request = Request::get(url).body(Bytes::new());
        Self::new(request.map_err(|error| Error::invalid_url(&error))?)
    }
}

fn check_length(len: usize) -> Result<(), Error> {
    if len <= MAX_REQUEST {
        return Ok(());
    }
    let detail = format!(
        "The request has at least {len} bytes as a line of a batch, more than the limit of {MAX_REQUEST}: \
         send it as a single fetch."
    );
    Err(Error::new(ErrorName::LimitExceeded, detail))
}

/// The items of a batch as the body of a request. Items are taken as there is room.
pub(crate) struct ItemLines<S> {
    items: Pin<Box<S>>,
    ended: bool,
}

impl<S> ItemLines<S> {
    pub(crate) fn new(items: S) -> Self {
        Self {
            items: Box::pin(items),
            ended: false,
        }
    }
}

impl<S: Stream<Item = BatchItem>> http_body::Body for ItemLines<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut out = BytesMut::new();
        while !self.ended && out.len() < PIECE {
            match self.items.as_mut().poll_next(cx) {
                Poll::Ready(Some(item)) => {
                    out.extend_from_slice(&item.line);
                    out.extend_from_slice(b"\n");
                }
                Poll::Ready(None) => self.ended = true,
                Poll::Pending if out.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready((!out.is_empty()).then(|| Ok(Frame::data(out.freeze()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    fn text(item: &BatchItem) -> String {
        String::from_utf8(item.line.to_vec()).expect("text")
    }

    #[test]
    fn an_item_says_everything_in_one_line() {
        let item = BatchItem::get("http://a.example/x?y").expect("a URL");
        assert_eq!(
            text(&item),
            r#"{"url":"http://a.example/x?y","method":"GET"}"#
        );
        let mut request = Request::put("http://a.example/")
            .header("x", "1")
            .body(Bytes::from_static(b"two\nlines"))
            .expect("a request");
        request
            .extensions_mut()
            .insert(Options::default().lane("slow").decode(false));
        let item = BatchItem::new(request).expect("a good one");
        assert_eq!(
            text(&item),
            r#"{"url":"http://a.example/","method":"PUT","headers":{"x":"1"},"body":"two\nlines","lane":"slow","decode":false}"#
        );
    }

    #[test]
    fn what_no_relay_would_take_is_refused_here() {
        let get = Request::get("http://a.example/").body(Bytes::from_static(b"x"));
        let error = BatchItem::new(get.expect("a request")).expect_err("a body");
        assert_eq!(error.name, ErrorName::InvalidRequest);
        let error = BatchItem::get("fetchway:batch").expect_err("no batch within a batch");
        assert_eq!(error.name, ErrorName::InvalidRequest);
        let long = Request::post("http://a.example/").body(Bytes::from(vec![0; MAX_REQUEST + 1]));
        let error = BatchItem::new(long.expect("a request")).expect_err("too long");
        assert_eq!(error.name, ErrorName::LimitExceeded);
    }
}
