//! One HTTP/2 connection, driven by a task and shared by streams.
//!
//! The `h2` crate is used directly. hyper's client does not report when the origin's SETTINGS have come,
//! and spawns a task for each request.

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
use super::lease::StreamLease;
use crate::clock::IN_TIME;
use crate::dial::Target;
use crate::meter::{Meter, Metered};
use crate::request::Sending;
use crate::stream::Stream;

pub(crate) use download::Download;
pub(crate) use upload::{Upload, UploadError};

/// Maximum number of streams of one connection, whatever the origin allows.
pub const MAX_STREAMS: usize = 256;

/// Stands for "the origin's SETTINGS have not come yet". No origin will set this very limit.
const UNSETTLED: usize = 0x7EAD_BEE5;

/// Maximum number of bytes of a response's header section.
const MAX_HEADERS: u32 = 64 << 10;

/// Bytes of a request body that one stream may hold unsent.
const SEND_BUFFER: usize = 64 << 10;

/// An event of an open connection.
pub(super) enum Change {
    /// The origin allows this number of streams from now on.
    Limit(usize),
    /// The connection has ended.
    Closed,
}

/// Opens a connection. Ready once the origin has sent its stream limit, which is then kept up to date;
/// `changes` gets later events.
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
    // A connection that has already received a GOAWAY is useless.
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
            // At zero, one stream still goes ahead: it waits within the `h2` crate for a higher limit.
            let limit = limit.clamp(1, MAX_STREAMS);
            allowed.store(limit, Ordering::Relaxed);
            match settled.take() {
                // If the receiver is gone, the dial has timed out.
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
    // The connection is dropped first, so that all its streams have ended when the event arrives.
    drop(connection);
    changes(Change::Closed);
}

/// The error of a connection whose origin sends no SETTINGS in time.
pub(super) fn no_settings(origin: &str) -> FetchError {
    let detail = format!("{origin} did not finish the HTTP/2 handshake{IN_TIME}");
    FetchError::new(ErrorName::ConnectionTimeout, detail)
}

/// The error of a connection that fails before its SETTINGS have come. On the first connection to an
/// origin, the origin most likely speaks HTTP/1.1 only.
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
    // No check for readiness is needed: this clone has sent nothing, and sending checks again whether the
    // connection takes streams.
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
            // A failed upload ends the stream.
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Returns how far a failed send had got. A stream that was refused, or is above the last one that a GOAWAY
/// names, was not processed (RFC 9113 sections 6.8 and 8.7). The `h2` crate reports a GOAWAY only to the
/// streams above it.
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
