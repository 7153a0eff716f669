//! A batch over a session: one node stream, whose credit bounds the batch.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fetchway_fetch::StreamedBody;
use fetchway_policy::FetchError;
use fetchway_service::problem::{Answer, answer, problem_with};
use fetchway_service::{Call, Principal, StreamService};
use futures_util::Stream;
use http::header::ALLOW;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;

use crate::batches::{Batches, NDJSON};

impl StreamService for Batches {
    fn path(&self) -> &'static str {
        "batch"
    }

    fn call(&self, principal: &Principal, call: Call) -> Response<StreamedBody> {
        if call.method != Method::POST {
            let detail = "A batch is started with POST, and its items are the body.";
            let refused = problem_with(StatusCode::METHOD_NOT_ALLOWED, detail, ALLOW, "POST");
            return streamed(refused);
        }
        match self.begin(principal, &call.query, Data(call.body)) {
            Ok(lines) => {
                let head = answer(StatusCode::OK, NDJSON, Bytes::new());
                let body: StreamedBody = Box::pin(lines);
                head.map(|_| body)
            }
            Err(refused) => streamed(refused.answer()),
        }
    }
}

fn streamed(answer: Answer) -> Response<StreamedBody> {
    answer.map(|body| -> StreamedBody { Box::pin(body.map_err(|never| match never {})) })
}

/// The data of a body. Trailers are ignored.
struct Data(StreamedBody);

impl Stream for Data {
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
