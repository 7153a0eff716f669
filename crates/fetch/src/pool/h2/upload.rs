//! A request body for an HTTP/2 stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::h2::{Reason, SendStream};
use bytes::Bytes;
use fetchway_policy::FetchError;
use http_body::Body as _;

use crate::request::Sending;

/// The request body, driven by the code that waits for the response or reads it.
pub(crate) struct Upload {
    /// The stream; `None` when everything is sent, or nothing more will be taken.
    stream: Option<SendStream<Bytes>>,
    body: Sending,
    /// Bytes taken from the body, and not yet given to the stream.
    chunk: Bytes,
}

/// Reason why an upload ended early.
pub(crate) enum UploadError {
    /// The stream takes no more. The response tells why.
    Stream(::h2::Error),
    /// The body itself failed, and the stream has been reset.
    Body(FetchError),
}

impl Upload {
    /// Returns an upload. `stream` is `None` for a request without a body.
    pub(super) fn new(stream: Option<SendStream<Bytes>>, body: Sending) -> Self {
        Self {
            stream,
            body,
            chunk: Bytes::new(),
        }
    }

    /// Sends as much as the origin's window allows now.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(()));
        };
        let result = ready!(send(stream, &mut self.body, &mut self.chunk, cx));
        if let Err(UploadError::Body(_)) = result {
            stream.send_reset(Reason::CANCEL);
        }
        self.stream = None;
        Poll::Ready(result)
    }
}

fn send(
    stream: &mut SendStream<Bytes>,
    body: &mut Sending,
    chunk: &mut Bytes,
    cx: &mut Context<'_>,
) -> Poll<Result<(), UploadError>> {
    loop {
        if chunk.is_empty() {
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                None => {
                    let end = stream.send_data(Bytes::new(), true);
                    return Poll::Ready(end.map_err(UploadError::Stream));
                }
                Some(Err(error)) => return Poll::Ready(Err(UploadError::Body(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => *chunk = data,
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        let end = stream.send_trailers(trailers);
                        return Poll::Ready(end.map_err(UploadError::Stream));
                    }
                },
            }
            continue;
        }
        let Some(capacity) = ready!(capacity(stream, chunk.len(), cx)) else {
            // The origin takes no more.
            return Poll::Ready(Ok(()));
        };
        let piece = chunk.split_to(capacity?.min(chunk.len()));
        let last = chunk.is_empty() && body.is_end_stream();
        stream.send_data(piece, last).map_err(UploadError::Stream)?;
        if last {
            return Poll::Ready(Ok(()));
        }
    }
}

/// Returns how many of `wanted` bytes the stream takes; never zero.
fn capacity(
    stream: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<usize, UploadError>>> {
    stream.reserve_capacity(wanted);
    loop {
        // Reserved first, because `poll_capacity` reports only changes since its last call.
        let capacity = stream.capacity();
        if capacity > 0 {
            return Poll::Ready(Some(Ok(capacity)));
        }
        match ready!(stream.poll_capacity(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(UploadError::Stream(error)))),
            Some(Ok(_)) => {}
        }
    }
}
