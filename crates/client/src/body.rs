//! The body of a response.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use fetchway_policy::ErrorName;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use crate::error::Error;
use crate::link::Stream;

/// The body of a response, read piece by piece. Dropping it before its end cancels the fetch.
///
/// An unread body pauses its own stream: the relay then stops reading from the origin. Many unread bodies
/// together (64 with the default [windows](crate::Builder::windows)) fill the window of their session. All
/// responses on that socket then wait until some bodies are read or dropped, regardless of their timeouts.
///
/// Reading fails with the name of the failure that interrupted the body, or with `outcome_unknown` if the
/// relay was lost.
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Whole(Option<Bytes>, Option<HeaderMap>),
    /// A stream, and the number of bytes left if that is known.
    Stream(Stream, Option<u64>),
}

impl Body {
    pub(crate) fn whole(bytes: Option<Bytes>, trailers: Option<HeaderMap>) -> Self {
        match (bytes, trailers) {
            (None, None) => Self(Kind::Empty),
            (bytes, trailers) => Self(Kind::Whole(bytes, trailers)),
        }
    }

    pub(crate) fn stream(stream: Stream, length: Option<u64>) -> Self {
        Self(Kind::Stream(stream, length))
    }

    /// Returns the next piece of data, or `None` at the end. Trailers are skipped. Cancel safe:
    /// dropping the future loses no data.
    ///
    /// # Errors
    /// The failure that interrupted the body.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        std::future::poll_fn(|cx| {
            loop {
                let Some(frame) = std::task::ready!(self.poll(cx)) else {
                    return Poll::Ready(Ok(None));
                };
                if let Ok(data) = frame?.into_data() {
                    return Poll::Ready(Ok(Some(data)));
                }
            }
        })
        .await
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// The failure that interrupted the body; `limit_exceeded` if the body is longer than `limit` bytes.
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes, Error> {
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        let mut whole = None;
        let mut total = first.len();
        while total <= limit {
            let Some(piece) = self.chunk().await? else {
                return Ok(whole.map_or(first, BytesMut::freeze));
            };
            total += piece.len();
            whole
                .get_or_insert_with(|| BytesMut::from(&first[..]))
                .extend_from_slice(&piece);
        }
        let detail = format!(
            "The response's body has more than {limit} bytes: raise the limit, or read the body piece by piece."
        );
        Err(Error::new(ErrorName::LimitExceeded, detail))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Whole(bytes, trailers) => {
                let data = bytes.take().map(Frame::data);
                Poll::Ready(
                    data.or_else(|| trailers.take().map(Frame::trailers))
                        .map(Ok),
                )
            }
            Kind::Stream(stream, left) => {
                let frame = stream.poll_frame(cx);
                if let (Some(left), Poll::Ready(Some(Ok(frame)))) = (left, &frame)
                    && let Some(data) = frame.data_ref()
                {
                    *left = left.saturating_sub(data.len() as u64);
                }
                frame
            }
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.get_mut().poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty | Kind::Whole(None, None) => true,
            Kind::Whole(..) => false,
            Kind::Stream(stream, _) => stream.is_done(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Whole(bytes, _) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::Stream(_, left) => left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Empty => "Body(empty)",
            Kind::Whole(..) => "Body(whole)",
            Kind::Stream(..) => "Body(streamed)",
        })
    }
}
