//! A batch over a session: one stream, whose credit is the batch's.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fetchway_fetch::StreamedBody;
use fetchway_policy::FetchError;
use fetchway_relay::{Call, Principal, Service};
use futures_util::Stream;
use http::header::ALLOW;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;

use super::{Batches, NDJSON};
use crate::problem::{Answer, answer, problem, problem_with};

/// What is asked for.
const BATCH: &str = "batch";

impl Service for Batches {
    fn call(&self, principal: &Principal, call: Call) -> Response<StreamedBody> {
        if call.path != BATCH {
            let shown: String = call.path.chars().take(100).collect();
            let detail = format!("This node has no {shown:?} of its own: there is fetchway:batch.");
            return streamed(problem(StatusCode::NOT_FOUND, &detail));
        }
        if call.method != Method::POST {
            let detail = "A batch is asked for with POST: its body brings the items.";
            let refused = problem_with(StatusCode::METHOD_NOT_ALLOWED, detail, ALLOW, "POST");
            return streamed(refused);
        }
        match self.begin(principal, &call.query, Pieces(call.body)) {
            Ok(lines) => {
                let head = answer(StatusCode::OK, NDJSON, Bytes::new());
                let body: StreamedBody = Box::pin(lines);
                head.map(|_| body)
            }
            Err(refused) => streamed(problem(refused.status(), &refused.detail())),
        }
    }
}

fn streamed(answer: Answer) -> Response<StreamedBody> {
    answer.map(|body| -> StreamedBody { Box::pin(body.map_err(|never| match never {})) })
}

/// The data of a body; trailers mean nothing here.
struct Pieces(StreamedBody);

impl Stream for Pieces {
    type Item = Result<Bytes, FetchError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while let Some(frame) = ready!(self.0.as_mut().poll_frame(cx)) {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(Err(_trailers)) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        Poll::Ready(None)
    }
}
