//! The outcomes of a batch, read line by line from the relay's response.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use fetchway_policy::{ErrorName, FetchError};
use futures_core::Stream;
use http::{Response, StatusCode};
use http_body::Body as _;

use super::outcome::Outcome;
use crate::body::Body;
use crate::error::Error;

/// Maximum length of an outcome's line in bytes: enough for a body of the default response cap in which
/// JSON escapes every byte.
const MAX_LINE: usize = 256 << 20;

/// Maximum length of a rejection that is read, in bytes.
const MAX_REJECTION: usize = 64 << 10;

type Opening = Pin<Box<dyn Future<Output = Result<Body, Error>> + Send>>;

/// The outcomes of a batch, as they arrive; see [`Client::batch`](crate::Client::batch). Dropping it
/// cancels the batch. An error is the last item.
pub struct Batch {
    state: State,
    text: BytesMut,
    /// Number of bytes at the beginning of `text` that are known to contain no line end.
    scanned: usize,
}

enum State {
    Opening(Opening),
    Open(Body),
    Ended,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Opening(_) => "Batch(opening)",
            State::Open(_) => "Batch(open)",
            State::Ended => "Batch(ended)",
        })
    }
}

impl Batch {
    pub(crate) fn new(
        response: impl Future<Output = Result<Response<Body>, Error>> + Send + 'static,
    ) -> Self {
        let opening = async move {
            let response = response.await?;
            match response.status() {
                StatusCode::OK => Ok(response.into_body()),
                status => Err(rejection(status, response.into_body()).await),
            }
        };
        Self {
            state: State::Opening(Box::pin(opening)),
            text: BytesMut::new(),
            scanned: 0,
        }
    }

    /// Removes the next line from the buffer, if it is complete.
    fn take_line(&mut self) -> Option<Bytes> {
        let end = memchr::memchr(b'\n', &self.text[self.scanned..]);
        let Some(end) = end else {
            self.scanned = self.text.len();
            return None;
        };
        let line = self.text.split_to(self.scanned + end + 1);
        self.scanned = 0;
        Some(line.freeze())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Outcome, Error>>> {
        loop {
            if let Some(line) = self.take_line() {
                return Poll::Ready(Some(Outcome::parse(&line)));
            }
            if self.text.len() > MAX_LINE {
                let detail = format!(
                    "The line of an outcome has more than {MAX_LINE} bytes: request smaller bodies."
                );
                return Poll::Ready(Some(Err(Error::new(ErrorName::LimitExceeded, detail))));
            }
            match &mut self.state {
                State::Opening(opening) => {
                    let body = ready!(opening.as_mut().poll(cx));
                    match body {
                        Ok(body) => self.state = State::Open(body),
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
                State::Open(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            self.text.extend_from_slice(&data);
                        }
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None if self.text.is_empty() => return Poll::Ready(None),
                    None => {
                        let detail = "The response ended within the line of an outcome: outcomes of some \
                                      items may be missing.";
                        let error = Error::new(ErrorName::HttpProtocolError, detail);
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for Batch {
    type Item = Result<Outcome, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let next = this.poll(cx);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            this.state = State::Ended;
            this.text = BytesMut::new();
            this.scanned = 0;
        }
        next
    }
}

/// Returns the error of a relay that rejects the batch.
async fn rejection(status: StatusCode, body: Body) -> Error {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: String,
    }
    let name = match status {
        StatusCode::BAD_REQUEST => ErrorName::InvalidRequest,
        StatusCode::TOO_MANY_REQUESTS => ErrorName::QueueFull,
        StatusCode::SERVICE_UNAVAILABLE => ErrorName::DestinationUnavailable,
        _ => ErrorName::HttpProtocolError,
    };
    let text = body.bytes(MAX_REJECTION).await;
    let problem = text
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    let detail = match problem {
        Some(Problem { detail }) => detail,
        None => format!("The relay rejected the batch with status {status} and gave no reason."),
    };
    Error::of_relay(FetchError::new(name, detail))
}
