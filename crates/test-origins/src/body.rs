//! Response bodies: a stream of parts that is counted as it leaves.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_body::{Body, Frame, SizeHint};

use crate::filler::Filler;
use crate::stats::InFlight;

/// Why the origin breaks an answer off; hyper then breaks the connection or resets the stream.
#[derive(Debug, thiserror::Error)]
#[error("the origin broke off on purpose")]
pub(crate) struct Cut;

/// The parts of a body, in order.
pub(crate) type Parts = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Cut>> + Send>>;

/// One part.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Parts {
    let bytes = bytes.into();
    if bytes.is_empty() {
        return Box::pin(stream::empty());
    }
    Box::pin(stream::iter([Ok(Frame::data(bytes))]))
}

/// A filler, part by part.
pub(crate) fn filling(filler: Filler) -> Parts {
    Box::pin(stream::iter(filler).map(|part| Ok(Frame::data(part))))
}

/// A body in flight: it counts its bytes, and its end (or its being dropped before) ends the request.
pub(crate) struct Counted {
    parts: Parts,
    flight: InFlight,
    /// Bytes still owed under the announced length. hyper drops a body once they are written and
    /// does not ask for the end, so this is how the end is known.
    owed: Option<u64>,
    ended: bool,
}

impl Counted {
    /// `announced` is the content-length, if one goes out.
    pub(crate) fn new(parts: Parts, announced: Option<u64>, flight: InFlight) -> Self {
        let mut body = Self {
            parts,
            flight,
            owed: announced,
            ended: false,
        };
        body.sent(0);
        body
    }

    /// For an answer whose body is not sent (HEAD, 204, 304): complete from the start.
    pub(crate) fn without_body(flight: InFlight) -> Self {
        Self::new(Box::pin(stream::empty()), Some(0), flight)
    }

    fn sent(&mut self, bytes: usize) {
        self.flight.sent(bytes);
        self.owed = self.owed.map(|owed| owed.saturating_sub(bytes as u64));
        if self.owed == Some(0) {
            self.end();
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.flight.completed();
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let polled = self.parts.as_mut().poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.sent(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(None) => self.end(),
            Poll::Ready(Some(Err(Cut))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        // Handlers set content-length themselves, so that they can also leave it out, or lie.
        if self.ended {
            SizeHint::with_exact(0)
        } else {
            SizeHint::default()
        }
    }
}

/// A stream that ends without ever giving anything, after `wait`.
pub(crate) fn hold(wait: impl Future<Output = ()> + Send + 'static) -> Parts {
    Box::pin(stream::once(wait).filter_map(|()| std::future::ready(None)))
}

/// A stream that breaks the answer off.
pub(crate) fn cut() -> Parts {
    // What was sent before is still in hyper's buffer, and an error throws that away. Waiting lets
    // it out: surely over HTTP/1.1, where the same task flushes, and in practice over HTTP/2.
    let flushed = tokio::time::sleep(Duration::from_millis(20));
    Box::pin(hold(flushed).chain(stream::iter([Err(Cut)])))
}

/// A stream that never goes on.
pub(crate) fn never() -> Parts {
    Box::pin(stream::pending::<Result<Frame<Bytes>, Cut>>())
}
