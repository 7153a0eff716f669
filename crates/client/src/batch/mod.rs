//! A batch: many fetches in one stream, run by the relay at a rate that the relay keeps.
//!
//! `item` is what goes in, `outcome` what comes out, each a line of JSON; `Batch` is the stream between.

mod item;
mod outcome;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fetchway_policy::{ErrorName, FetchError};
use futures_core::Stream;
use http::{Response, StatusCode};
use http_body::Body as _;

pub use item::BatchItem;
pub(crate) use item::Lines;
pub use outcome::{Outcome, OutcomeTiming};

use crate::body::Body;
use crate::error::Error;

/// Bytes of the longest line of an outcome: one of a body of the default cap, all of it escaped.
const MAX_LINE: usize = 256 << 20;
/// Bytes of the longest refusal that is read.
const MAX_REFUSAL: usize = 64 << 10;

/// How a batch is to be run. What is left out is as the relay has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchOptions {
    rate: Option<(u32, Duration)>,
    strict: bool,
    concurrency: Option<usize>,
    ordered: bool,
    retries: Option<u32>,
    timeout: Option<Duration>,
}

impl BatchOptions {
    /// Requests in each window, evenly. Without it, as fast as they go.
    #[must_use]
    pub fn rate(mut self, count: u32, window: Duration) -> Self {
        self.rate = Some((count, window));
        self
    }

    /// No window of the rate, wherever it begins, holds more requests; the rate is a little lower.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Fetches under way at once. The relay has a bound on it.
    #[must_use]
    pub fn concurrency(mut self, fetches: usize) -> Self {
        self.concurrency = Some(fetches);
        self
    }

    /// Outcomes come in the order of their items.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// Further tries of a fetch that failed, if its method allows it.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// The longest that one try may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The URL that asks a relay for it.
    pub(crate) fn url(&self) -> String {
        let time = |time: Duration| format!("{}ns", time.as_nanos());
        let rate = self
            .rate
            .map(|(count, window)| format!("{count}/{}", time(window)));
        let query = [
            ("rate", rate),
            ("strict", self.strict.then(|| "true".to_owned())),
            ("concurrency", self.concurrency.map(|it| it.to_string())),
            ("ordered", self.ordered.then(|| "true".to_owned())),
            ("retries", self.retries.map(|it| it.to_string())),
            ("timeout", self.timeout.map(time)),
        ];
        let mut url = "fetchway:batch".to_owned();
        let mut between = '?';
        for (name, value) in query {
            if let Some(value) = value {
                url.push(between);
                url.push_str(&format!("{name}={value}"));
                between = '&';
            }
        }
        url
    }
}

type Opening = Pin<Box<dyn Future<Output = Result<Body, Error>> + Send>>;

/// The outcomes of a batch, as they come; see [`Client::batch`](crate::Client::batch). Dropped, it
/// cancels what is under way. An error is the last thing that comes.
pub struct Batch {
    state: State,
    text: BytesMut,
    /// So much of `text` is known to have no line end.
    scanned: usize,
}

enum State {
    Opening(Opening),
    Open(Body),
    Over,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.state {
            State::Opening(_) => "Batch(opening)",
            State::Open(_) => "Batch(open)",
            State::Over => "Batch(over)",
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
                status => Err(refused(status, response.into_body()).await),
            }
        };
        Self {
            state: State::Opening(Box::pin(opening)),
            text: BytesMut::new(),
            scanned: 0,
        }
    }

    /// Cuts off the next line, if it is all here.
    fn line(&mut self) -> Option<Bytes> {
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
            if let Some(line) = self.line() {
                return Poll::Ready(Some(Outcome::read(&line)));
            }
            if self.text.len() > MAX_LINE {
                let detail = format!(
                    "A line of the batch's outcomes has more than {MAX_LINE} bytes: ask for smaller \
                     bodies."
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
                        let detail = "The batch's outcomes ended within a line: those of some items \
                                      may be missing.";
                        let error = Error::new(ErrorName::HttpProtocolError, detail);
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                State::Over => return Poll::Ready(None),
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
            this.state = State::Over;
            this.text = BytesMut::new();
            this.scanned = 0;
        }
        next
    }
}

/// What a relay says that does not begin the batch.
async fn refused(status: StatusCode, body: Body) -> Error {
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
    let said = body.bytes(MAX_REFUSAL).await;
    let problem = said
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    let detail = match problem {
        Some(Problem { detail }) => detail,
        None => format!("The relay refuses the batch with status {status} and does not say why."),
    };
    Error::of_relay(FetchError::new(name, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_the_query() {
        assert_eq!(BatchOptions::default().url(), "fetchway:batch");
        let options = BatchOptions::default()
            .rate(5_000, Duration::from_secs(1))
            .strict()
            .concurrency(7)
            .ordered()
            .retries(0)
            .timeout(Duration::from_millis(1_500));
        assert_eq!(
            options.url(),
            "fetchway:batch?rate=5000/1000000000ns&strict=true&concurrency=7&ordered=true&retries=0\
             &timeout=1500000000ns"
        );
    }
}
