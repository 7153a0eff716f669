//! One fetch on one stream: sends the request's body while it waits for the response's head.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use fetchway_wire::v1::ResponseHead;
use http::Response;
use http::header::CONTENT_LENGTH;

use crate::BoxError;
use crate::body::Body;
use crate::link::{Failure, PendingAnswer, ResponseBody, Stream};
use crate::options::FinalUrl;
use crate::upload::Upload;

/// Sends the request's body on a stream, until the response's head has arrived.
pub(crate) async fn exchange_stream<B>(
    mut stream: Stream,
    upload: &mut Upload<B>,
) -> Result<Response<Body>, Failure>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    upload.begin(|| stream.body_sender());
    let (head, body) = poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = upload.poll_send(cx) {
            return Poll::Ready(Err(Failure::Failed(error)));
        }
        stream.poll_head(cx)
    })
    .await?;
    let body = match body {
        ResponseBody::Whole(bytes, trailers) => Body::whole(bytes, trailers),
        ResponseBody::Streamed => Body::stream(stream, content_length(&head)),
    };
    Ok(response(*head, body))
}

/// Returns the length of the body if the head contains one. Relays remove it from responses that they
/// decode.
fn content_length(head: &ResponseHead) -> Option<u64> {
    let mut lengths = head.fields.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next()?.to_str().ok()?.parse().ok()?;
    lengths.next().is_none().then_some(length)
}

/// Waits for an answer over JSON.
pub(crate) async fn exchange_json(mut pending: PendingAnswer) -> Result<Response<Body>, Failure> {
    let (head, body) = poll_fn(|cx| pending.poll_answer(cx)).await?;
    let body = (!body.is_empty()).then_some(body);
    Ok(response(*head, Body::whole(body, None)))
}

/// Returns a response with this head and body.
pub(crate) fn response<B>(head: ResponseHead, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields;
    if !head.url.is_empty() {
        response.extensions_mut().insert(FinalUrl(head.url));
    }
    response
}
