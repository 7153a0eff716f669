//! A response body from an HTTP/2 stream.

use std::task::{Context, Poll, ready};

use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use fetchway_policy::{ErrorName, FetchError};
use http::{HeaderMap, header};
use http_body::Frame;

/// The response body. Its window is returned as the body is taken, so a reader that stops stops its own
/// stream only.
pub(crate) struct Download {
    recv: RecvStream,
    /// Bytes still to come by the response's `Content-Length`.
    left: Option<u64>,
    /// Set if the request had a body, which the origin may stop once it has answered.
    may_stop_upload: bool,
    data_done: bool,
}

impl Download {
    pub(super) fn new(recv: RecvStream, headers: &HeaderMap, may_stop_upload: bool) -> Self {
        let length = headers.get(header::CONTENT_LENGTH);
        Self {
            left: length.and_then(|length| length.to_str().ok()?.parse().ok()),
            recv,
            may_stop_upload,
            data_done: false,
        }
    }

    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        while !self.data_done {
            match ready!(self.recv.poll_data(cx)) {
                // An empty frame only ends the stream, or wastes time.
                Some(Ok(data)) if data.is_empty() => continue,
                Some(Ok(data)) => {
                    // This fails only if the stream is gone, and its window with it.
                    let _ = self.recv.flow_control().release_capacity(data.len());
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => self.stopped(&error)?,
                None => {}
            }
            self.data_done = true;
        }
        match ready!(self.recv.poll_trailers(cx)) {
            Ok(None) => Poll::Ready(None),
            Ok(Some(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Err(error) => {
                self.stopped(&error)?;
                Poll::Ready(None)
            }
        }
    }

    /// Accepts a reset with `NO_ERROR` after a complete response, which only asks the client not to send
    /// the rest of the request (RFC 9113 section 8.1). Any other `error` is returned with its name.
    ///
    /// The `h2` crate does not tell whether the response was complete, so its `Content-Length` decides. A
    /// response without one counts as complete.
    fn stopped(&self, error: &::h2::Error) -> Result<(), FetchError> {
        let asks = error.is_reset() && error.reason() == Some(Reason::NO_ERROR);
        if asks && self.may_stop_upload && self.left.is_none_or(|left| left == 0) {
            return Ok(());
        }
        if asks {
            let detail = "The origin ended the HTTP/2 stream before its response was complete.";
            return Err(FetchError::new(ErrorName::ConnectionTerminated, detail));
        }
        Err(super::name(error))
    }

    pub(crate) fn is_end(&self) -> bool {
        self.recv.is_end_stream()
    }

    /// Bytes still to come, if the origin has sent a length.
    pub(crate) fn left(&self) -> Option<u64> {
        self.left
    }
}
