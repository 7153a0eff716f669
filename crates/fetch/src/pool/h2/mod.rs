//! One HTTP/2 connection: a task drives it, streams share it.
//!
//! The `h2` crate is used as it is, not through hyper's client, which tells neither when the
//! origin's SETTINGS have come nor spares a task per request.

mod download;
mod upload;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use ::h2::client::{ResponseFuture, SendRequest};
use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use fetchway_policy::retry::Progress;
use fetchway_policy::{ErrorName, FetchError};
use http::{Request, Response};
use http_body::Body as _;
use tokio::sync::oneshot;

use super::Failure;
use super::shared::StreamLease;
use crate::clock::IN_TIME;
use crate::dial::Target;
use crate::meter::{Meter, Metered};
use crate::request::Sending;
use crate::stream::Stream;

pub(crate) use download::Download;
pub(crate) use upload::{Upload, UploadError};

/// Streams that one connection carries at most, whatever the origin allows.
pub const MAX_STREAMS: usize = 256;

/// Stands for "the origin's SETTINGS have not come yet"; no origin will name this very limit.
const UNSETTLED: usize = 0x7EAD_BEE5;

/// The most that a response's header section may take, in bytes.
const MAX_HEADERS: u32 = 64 << 10;

/// Bytes of a request body that one stream may hold unsent.
const SEND_BUFFER: usize = 64 << 10;

/// What happens to an open connection.
pub(super) enum Change {
    /// The origin allows so many streams from now on.
    Limit(usize),
    /// It has ended.
    Closed,
}

/// Opens a connection. Ready once the origin has said how many streams it allows, which is then
/// kept up to date; `changes` hears of what happens later.
pub(super) async fn open(
    stream: Stream,
    meter: Arc<Meter>,
    window: u32,
    changes: impl FnMut(Change) + Send + 'static,
) -> Result<(SendRequest<Bytes>, Arc<AtomicUsize>), FetchError> {
    let connection_window = window
        .saturating_mul(MAX_STREAMS as u32)
        .min(i32::MAX as u32);
    let (sender, connection) = ::h2::client::Builder::new()
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
    tokio::spawn(drive(connection, settled, changes));
    let broken = || {
        let detail = "The origin chose HTTP/2, then ended the connection before it could be used.";
        FetchError::new(ErrorName::HttpProtocolError, detail)
    };
    let limit = limit.await.map_err(|_| broken())?;
    // One that has had its GOAWAY already is of no use to anybody.
    let sender = sender.ready().await.map_err(|_| broken())?;
    Ok((sender, limit))
}

async fn drive(
    mut connection: ::h2::client::Connection<Metered>,
    settled: oneshot::Sender<Arc<AtomicUsize>>,
    mut changes: impl FnMut(Change),
) {
    let allowed = Arc::new(AtomicUsize::new(0));
    let mut settled = Some(settled);
    let mut known = UNSETTLED;
    let ended = std::future::poll_fn(|cx| {
        let poll = Pin::new(&mut connection).poll(cx);
        let limit = connection.max_concurrent_send_streams();
        if limit != known {
            known = limit;
            // At zero one still goes ahead: it waits within the `h2` crate for a better limit.
            let limit = limit.clamp(1, MAX_STREAMS);
            allowed.store(limit, Ordering::Relaxed);
            match settled.take() {
                // If nobody listens any more, the dial has timed out and its sender is gone.
                Some(settled) => drop(settled.send(allowed.clone())),
                None => changes(Change::Limit(limit)),
            }
        }
        poll
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP/2 connection ended");
    }
    // The connection goes first, so that whoever is told finds all its streams ended.
    drop(connection);
    changes(Change::Closed);
}

/// What it is called when an origin's SETTINGS don't come in time.
pub(super) fn no_settings(origin: &str) -> FetchError {
    let detail = format!("{origin} did not finish the HTTP/2 handshake{IN_TIME}");
    FetchError::new(ErrorName::ConnectionTimeout, detail)
}

/// What it is called when a connection breaks off before its SETTINGS have come. Where nobody has
/// asked the origin before, it most likely speaks HTTP/1.1 only.
pub(super) fn not_spoken(target: &Target, error: FetchError) -> FetchError {
    if !target.h2c || error.name != ErrorName::HttpProtocolError {
        return error;
    }
    let detail = format!(
        "{target} did not answer in HTTP/2, which it was configured to speak without TLS (h2c): have it \
         do so, or address it as http."
    );
    FetchError::new(error.name, detail)
}

/// Sends a request and waits for the response's header.
pub(crate) async fn exchange(
    place: &StreamLease,
    request: Request<Sending>,
) -> Result<(Response<Download>, Upload), Failure> {
    let reused = place.reused();
    let (head, body) = request.into_parts();
    let empty = body.is_end_stream();
    // No need to ask whether it is ready: this clone has sent nothing, and sending asks again
    // whether the connection still takes streams.
    let sent = place
        .sender
        .clone()
        .send_request(Request::from_parts(head, ()), empty);
    let (response, stream) = match sent {
        Ok(sent) => sent,
        Err(error) => {
            place.retire();
            return Err(Failure::unsent(name(&error), body));
        }
    };
    let mut upload = Upload::new((!empty).then_some(stream), body);
    let response = headers(response, &mut upload)
        .await
        .map_err(|error| match error {
            UploadError::Stream(error) => Failure {
                progress: progress(&error, reused),
                error: name(&error),
                body: None,
            },
            UploadError::Body(error) => Failure {
                error,
                progress: Progress::SentNoResponse,
                body: None,
            },
        })?;
    place.mark_served();
    let (head, recv) = response.into_parts();
    let download = Download::new(recv, &head.headers, !empty);
    Ok((Response::from_parts(head, download), upload))
}

async fn headers(
    mut response: ResponseFuture,
    upload: &mut Upload,
) -> Result<Response<RecvStream>, UploadError> {
    std::future::poll_fn(|cx| {
        if let Poll::Ready(response) = Pin::new(&mut response).poll(cx) {
            return Poll::Ready(response.map_err(UploadError::Stream));
        }
        match upload.poll(cx) {
            // An origin that stopped the upload by a reset may have answered before.
            Poll::Ready(Err(UploadError::Stream(error))) if error.is_reset() => Poll::Pending,
            // A broken upload ends the stream.
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    })
    .await
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
    let (name, what) = if error.is_library() {
        (
            ErrorName::HttpProtocolError,
            format!(
                "The origin's HTTP/2 is not as it should be, or a header section is over 64 KiB ({error})."
            ),
        )
    } else if error.is_io() || error.is_go_away() {
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
