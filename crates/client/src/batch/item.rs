//! One item of a batch as it goes out, and many of them as a request's body.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use fetchway_policy::ErrorName;
use futures_core::Stream;
use http::{Method, Request};
use http_body::Frame;

use crate::error::Error;
use crate::link::{MAX_REQUEST, line};
use crate::options::Failover;
use crate::request::Job;

/// Bytes of lines that are put together, if they are there at once.
const PIECE: usize = 16 << 10;

/// One fetch of a batch, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchItem {
    /// Without its line end.
    line: Bytes,
}

impl BatchItem {
    /// A request with its whole body. Its URI is absolute; [`Options`](crate::Options) in its extensions
    /// say the rest, except for failover, which a batch does not have.
    ///
    /// # Errors
    /// `invalid_request` or `limit_exceeded` for what no relay would take.
    pub fn new(request: Request<Bytes>) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let is_bodiless = matches!(parts.method, Method::GET | Method::HEAD);
        if is_bodiless && !body.is_empty() {
            let detail = format!("A {} request has no body: use POST.", parts.method);
            return Err(Error::new(ErrorName::InvalidRequest, detail));
        }
        let head = Job::new(parts, Failover::Never, None)?.head;
        check_length(body.len())?;
        let line = line(&head, &body)?;
        check_length(line.len())?;
        Ok(Self { line: line.into() })
    }

    /// A GET of a URL, without fields or options.
    ///
    /// # Errors
    /// `invalid_request` for what is no URL.
    pub fn get(url: &str) -> Result<Self, Error> {
        let request = Request::get(url).body(Bytes::new()).map_err(|error| {
            let detail = format!("The URL cannot be asked for ({error}): check it.");
            Error::new(ErrorName::InvalidRequest, detail)
        });
        Self::new(request?)
    }
}

fn check_length(len: usize) -> Result<(), Error> {
    if len <= MAX_REQUEST {
        return Ok(());
    }
    let detail = format!(
        "The request has {len} bytes or more as a line of a batch, over the {MAX_REQUEST} that one may \
         have: fetch it by itself."
    );
    Err(Error::new(ErrorName::LimitExceeded, detail))
}

/// Items as the body of a request: they are asked for as there is room.
pub(crate) struct Lines<S> {
    items: Pin<Box<S>>,
    ended: bool,
}

impl<S> Lines<S> {
    pub(crate) fn new(items: S) -> Self {
        Self {
            items: Box::pin(items),
            ended: false,
        }
    }
}

impl<S: Stream<Item = BatchItem>> http_body::Body for Lines<S> {
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
