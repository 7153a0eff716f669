//! One HTTP/2 connection: a task drives it, streams share it.
//!
//! The `h2` crate is used as it is, not through hyper's client, which tells neither when the
//! origin's SETTINGS have come nor spares a task per request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fetchway_policy::retry::Progress;
use fetchway_policy::{ErrorName, FetchError};
use ::h2::client::{ResponseFuture, SendRequest};
use ::h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use http_body::Body as _;
use tokio::sync::oneshot;

use super::Failure;
use crate::dial::Stream;
use crate::meter::{Meter, Metered};
use crate::request::RequestBody;

/// Streams that one connection carries at most, whatever the origin allows.
pub const MAX_STREAMS: usize = 256;

/// Stands for "the origin's SETTINGS have not come yet"; no origin will name this very limit.
const UNSETTLED: usize = 0x7EAD_BEE5;

/// The most that a response's header section may take, in bytes.
const MAX_HEADERS: u32 = 64 << 10;

/// Bytes of a request body that one stream may hold unsent.
const SEND_BUFFER: usize = 64 << 10;

/// Opens a connection. Ready once the origin has said how many streams it allows; `closed` is
/// called when the connection has ended.
pub(super) async fn open(
    stream: Stream,
    meter: Arc<Meter>,
    window: u32,
    closed: impl FnOnce() + Send + 'static,
) -> Result<(SendRequest<Bytes>, usize), FetchError> {
    let connection_window = window.saturating_mul(MAX_STREAMS as u32).min(i32::MAX as u32);
    let (sender, mut connection) = ::h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(window)
        .initial_connection_window_size(connection_window)
        .initial_max_send_streams(UNSETTLED)
        .max_header_list_size(MAX_HEADERS)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake(Metered { stream, meter })
        .await
        .map_err(|error| name(&error))?;
    let (settled, limit) = oneshot::channel();
    tokio::spawn(async move {
        let mut settled = Some(settled);
        let ended = std::future::poll_fn(|cx| {
            let poll = Pin::new(&mut connection).poll(cx);
            let limit = connection.max_concurrent_send_streams();
            if limit != UNSETTLED
                && let Some(settled) = settled.take()
            {
                // Nobody listens any more: the dial has timed out, and its sender is gone with it.
                let _ = settled.send(limit);
            }
            poll
        })
        .await;
        if let Err(error) = ended {
            tracing::debug!(%error, "an HTTP/2 connection ended");
        }
        closed();
    });
    let limit = limit.await.map_err(|_| {
        let detail = "The origin chose HTTP/2 but closed the connection before its SETTINGS.";
        FetchError::new(ErrorName::HttpProtocolError, detail)
    })?;
    Ok((sender, limit.clamp(1, MAX_STREAMS)))
}

/// Sends a request and waits for the response's header. `reused`: the connection has served before.
pub(crate) async fn exchange(
    sender: SendRequest<Bytes>,
    request: Request<RequestBody>,
    reused: bool,
) -> Result<(Response<Download>, Upload), Failure> {
    let unsent = |error: ::h2::Error| Failure::unsent(name(&error));
    let mut sender = sender.ready().await.map_err(unsent)?;
    let (head, body) = request.into_parts();
    let empty = body.is_end_stream();
    let (response, send) = sender
        .send_request(Request::from_parts(head, ()), empty)
        .map_err(unsent)?;
    drop(sender);
    let mut upload = Upload {
        stream: (!empty).then_some(send),
        body,
        chunk: Bytes::new(),
    };
    let response = headers(response, &mut upload).await.map_err(|error| Failure {
        progress: progress(&error, reused),
        error: name(&error),
    })?;
    let response = response.map(|recv| Download { recv, data_done: false });
    Ok((response, upload))
}

async fn headers(mut response: ResponseFuture, upload: &mut Upload) -> Result<Response<RecvStream>, ::h2::Error> {
    std::future::poll_fn(|cx| {
        if let Poll::Ready(response) = Pin::new(&mut response).poll(cx) {
            return Poll::Ready(response);
        }
        match upload.poll(cx) {
            // A broken upload ends the stream; an origin that answered early is heard out.
            Poll::Ready(Err(UploadError::Stream(error))) if !error.is_reset() => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    })
    .await
}

/// The request body on its way, polled by whoever waits for the response.
pub(crate) struct Upload {
    /// `None` when all is sent, or nothing more will be taken.
    stream: Option<SendStream<Bytes>>,
    body: RequestBody,
    chunk: Bytes,
}

pub(crate) enum UploadError {
    Stream(::h2::Error),
    Body,
}

impl Upload {
    /// Sends what the origin's window allows now.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(()));
        };
        let result = ready!(send(stream, &mut self.body, &mut self.chunk, cx));
        if let Err(UploadError::Body) = result {
            stream.send_reset(Reason::CANCEL);
        }
        self.stream = None;
        Poll::Ready(result)
    }
}

fn send(
    stream: &mut SendStream<Bytes>,
    body: &mut RequestBody,
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
                Some(Err(_)) => return Poll::Ready(Err(UploadError::Body)),
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
        stream.reserve_capacity(chunk.len());
        let capacity = match ready!(stream.poll_capacity(cx)) {
            Some(capacity) => capacity.map_err(UploadError::Stream)?,
            // The origin takes no more.
            None => return Poll::Ready(Ok(())),
        };
        let piece = chunk.split_to(capacity.min(chunk.len()));
        let last = chunk.is_empty() && body.is_end_stream();
        stream.send_data(piece, last).map_err(UploadError::Stream)?;
        if last {
            return Poll::Ready(Ok(()));
        }
    }
}

/// The response body as it comes. Its window is given back as it is taken, so a reader that stops
/// stops its own stream only.
pub(crate) struct Download {
    recv: RecvStream,
    data_done: bool,
}

impl Download {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, FetchError>>> {
        if !self.data_done {
            match ready!(self.recv.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Fails only where the stream is gone, and then its window is too.
                    let _ = self.recv.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(http_body::Frame::data(data))));
                }
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(name(&error)))),
                None => {}
            }
            self.data_done = true;
        }
        match ready!(self.recv.poll_trailers(cx)) {
            Ok(None) => Poll::Ready(None),
            Ok(Some(trailers)) => Poll::Ready(Some(Ok(http_body::Frame::trailers(trailers)))),
            Err(error) if error.reason() == Some(Reason::NO_ERROR) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(name(&error)))),
        }
    }

    pub(crate) fn is_end(&self) -> bool {
        self.recv.is_end_stream()
    }
}

/// How far a failed send had got. A stream refused, or above the last one that a GOAWAY names, was
/// not processed (RFC 9113 sections 6.8 and 8.7); the `h2` crate reports a remote GOAWAY only to
/// the streams above it.
fn progress(error: &::h2::Error, reused: bool) -> Progress {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    if refused || error.is_go_away() && error.is_remote() {
        Progress::Unsent
    } else if reused && !error.is_reset() {
        Progress::ReusedNoResponse
    } else {
        Progress::SentNoResponse
    }
}

fn name(error: &::h2::Error) -> FetchError {
    let (name, what) = if error.is_io() || error.is_go_away() {
        (
            ErrorName::ConnectionTerminated,
            format!("The HTTP/2 connection to the origin ended ({error})."),
        )
    } else if error.is_reset() {
        (
            ErrorName::ConnectionTerminated,
            format!("The origin ended the HTTP/2 stream ({error})."),
        )
    } else {
        (
            ErrorName::HttpProtocolError,
            format!("The HTTP/2 exchange with the origin failed ({error})."),
        )
    };
    FetchError::new(name, what)
}
