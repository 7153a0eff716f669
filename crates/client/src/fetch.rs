//! A fetch from its request to its response: over one stream, or over several if relays are lost.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use fetchway_policy::{ErrorName, retry};
use http::{Request, Response};

use crate::BoxError;
use crate::body::Body;
use crate::error::Error;
use crate::exchange::{exchange_json, exchange_stream};
use crate::link::Failure;
use crate::relays::{Opened, Relays};
use crate::request::{PreparedRequest, RequestBody};
use crate::upload::Upload;

/// Maximum number of streams that one fetch is given, one after the other.
const MAX_STREAMS: u32 = 5;

/// Performs a fetch.
pub(crate) async fn fetch<B>(relays: &Relays, request: Request<B>) -> Result<Response<Body>, Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    let upload = begin_upload(body).await?;
    let length = match upload.known() {
        RequestBody::None => None,
        RequestBody::Whole(_) | RequestBody::Streamed => Some(upload.length()),
    };
    let request = PreparedRequest::new(parts, relays.settings.failover, length)?;
    send(relays, &request, upload).await
}

/// Sends a request that the relay itself answers.
pub(crate) async fn ask_relay<B>(
    relays: &Relays,
    url: String,
    body: B,
) -> Result<Response<Body>, Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let upload = begin_upload(body).await?;
    send(relays, &PreparedRequest::for_relay(&url), upload).await
}

async fn send<B>(
    relays: &Relays,
    request: &PreparedRequest,
    upload: Upload<B>,
) -> Result<Response<Body>, Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut unknown = None;
    let sent = send_until_answered(relays, request, upload, &mut unknown).await;
    sent.map_err(|error| match unknown {
        // The failure of a later stream says nothing about the fetch that was lost on an earlier one.
        Some(mut lost) => {
            lost.detail =
                format!("{} Another attempt failed as well ({error}).", lost.detail).into();
            lost
        }
        None => error,
    })
}

/// Sends the request on one stream after the other until it is answered, or may not be sent again.
/// `unknown` is set to the error of the first stream that was lost after the request was sent.
async fn send_until_answered<B>(
    relays: &Relays,
    request: &PreparedRequest,
    mut upload: Upload<B>,
    unknown: &mut Option<Error>,
) -> Result<Response<Body>, Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut patience = relays.settings.queue_wait;
    let mut avoid = None;
    let mut streams = 0;
    loop {
        let acquired = relays.acquire(request, upload.known(), avoid, &mut patience);
        let (relay, opened) = acquired.await?;
        let answered = match opened {
            Opened::Stream(stream) => exchange_stream(stream, &mut upload).await,
            Opened::Answer(pending) => exchange_json(pending).await,
            Opened::NeedsWholeBody => {
                poll_fn(|cx| upload.poll_whole(cx)).await?;
                continue;
            }
            Opened::Rejected(error) => return Err(error),
        };
        let failure = match answered {
            Ok(response) => {
                upload.finish();
                return Ok(response);
            }
            Err(failure) => failure,
        };
        let Failure::Lost { sent, .. } = failure else {
            return Err(failure.into_error());
        };
        streams += 1;
        let may_resend = retry::may_resend(!sent, request.repeatable)
            && upload.rewind()
            && streams < MAX_STREAMS;
        let error = failure.into_error();
        if !may_resend {
            return Err(error);
        }
        if sent {
            unknown.get_or_insert(error);
        }
        avoid = Some(relay);
    }
}

/// Begins to read a request's body, without waiting for it.
async fn begin_upload<B>(body: B) -> Result<Upload<B>, Error>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = Some(body);
    poll_fn(|cx| Poll::Ready(body.take().map(|body| Upload::new(body, cx))))
        .await
        .transpose()?
        .ok_or_else(|| {
            Error::new(
                ErrorName::ProxyInternalError,
                "The request's body was polled twice.",
            )
        })
}
