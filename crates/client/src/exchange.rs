//! One fetch on one stream: its body is given as its response is waited for, neither holding up the
//! other.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use fetchway_wire::v1::ResponseHead;
use http::header::CONTENT_LENGTH;

use crate::BoxError;
use crate::body::Body;
use crate::link::{Failure, Pending, Rest, Stream};
use crate::upload::Upload;

/// A response's head and body.
pub(crate) type Answered = (Box<ResponseHead>, Body);

/// Waits for the response's head on a stream.
pub(crate) async fn exchange<B>(
    mut stream: Stream,
    upload: &mut Upload<B>,
) -> Result<Answered, Failure>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    upload.begin(|| stream.intake());
    let (head, rest) = poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = upload.poll_give(cx) {
            return Poll::Ready(Err(Failure::Failed(error)));
        }
        stream.poll_head(cx)
    })
    .await?;
    let body = match rest {
        Rest::Whole(bytes, trailers) => Body::whole(bytes, trailers),
        Rest::Follows => Body::stream(stream, length(&head)),
    };
    Ok((head, body))
}

/// How long the body is, if the origin has said so. Relays leave that out of bodies that they decode.
fn length(head: &ResponseHead) -> Option<u64> {
    let mut lengths = head.fields.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next()?.to_str().ok()?.parse().ok()?;
    lengths.next().is_none().then_some(length)
}

/// Waits for an answer in JSON.
pub(crate) async fn ask(mut pending: Pending) -> Result<Answered, Failure> {
    let (head, body) = poll_fn(|cx| pending.poll_answer(cx)).await?;
    let body = (!body.is_empty()).then_some(body);
    Ok((head, Body::whole(body, None)))
}
