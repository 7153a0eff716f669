//! The outcomes of a batch as the body of an answer: JSON lines, in pieces of about [`PIECE`] bytes.
//!
//! The body owns the batch: when the body is dropped, the run ends with all its fetches. While nobody
//! reads the body, outcomes keep their places in flight, so the run waits.
//!
//! If a batch ends early, its last line is the reason, without an index: the status of the answer has been
//! sent already, and a reset stream would lose lines that the client has not read.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use fetchway_batch::{Done, Handle, Outcomes};
use fetchway_fetch::Hold;
use fetchway_policy::{ErrorName, FetchError};
use fetchway_service::{Phase, Place, Shutdown};
use fetchway_wire::json::Encoder;
use fetchway_wire::json::text::string;
use futures_util::Stream as _;
use http_body::Frame;

use crate::order::{Line, Order};

/// Approximate number of bytes of one piece: as many as a frame of the binary encoding carries.
const PIECE: usize = 16 << 10;

/// Reason why a batch ends early. The first one that is set counts.
pub(crate) type Failure = Arc<OnceLock<FetchError>>;

/// The lines of a batch's outcomes.
pub(crate) struct Lines {
    outcomes: Outcomes<Hold>,
    handle: Handle,
    order: Option<Order>,
    /// The line that is being written, with the reservation of its bytes.
    line: Option<(Encoder, Option<Hold>)>,
    /// Set when the batch ends early.
    failure: Failure,
    /// Completes when the node begins to shut down; `None` afterwards.
    draining: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    ended: bool,
    _place: Place,
}

impl Lines {
    pub(crate) fn new(
        (outcomes, handle): (Outcomes<Hold>, Handle),
        order: Option<Order>,
        failure: Failure,
        (shutdown, place): (Shutdown, Place),
    ) -> Self {
        let draining = async move { shutdown.reached(Phase::Draining).await };
        Self {
            outcomes,
            handle,
            order,
            line: None,
            failure,
            draining: Some(Box::pin(draining)),
            ended: false,
            _place: place,
        }
    }

    /// Returns a handle of the run.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Once the node shuts down, starts no more fetches. Fetches in flight are finished.
    fn heed_shutdown(&mut self, cx: &mut Context<'_>) {
        let Some(draining) = &mut self.draining else {
            return;
        };
        if draining.as_mut().poll(cx).is_ready() {
            self.draining = None;
            let detail = "This node is shutting down, and all fetches in flight have been answered: send \
                          the items without an outcome to another node.";
            let error = FetchError::new(ErrorName::DestinationUnavailable, detail);
            let _first = self.failure.set(error);
            self.handle.stop();
        }
    }

    /// Finds the next line to write. Ready with false when there is none left.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if let Some(Line(line, hold)) = self.order.as_ref().and_then(Order::next) {
                self.line = Some((line, hold));
                return Poll::Ready(true);
            }
            let Some(Done { outcome, hold }) = ready!(Pin::new(&mut self.outcomes).poll_next(cx))
            else {
                let rest = self.order.as_ref().and_then(Order::rest);
                self.line = rest.map(|Line(line, hold)| (line, hold));
                return Poll::Ready(self.line.is_some());
            };
            let index = outcome.index;
            let line = outcome.into_line();
            let Some(order) = &self.order else {
                self.line = Some((line, hold));
                return Poll::Ready(true);
            };
            if let Err(error) = order.add(index, line, hold) {
                // This reason replaces any other.
                self.failure = Failure::from(OnceLock::from(error));
                return Poll::Ready(false);
            }
        }
    }

    /// Appends the reason of an early end, if the batch ends early.
    fn put_last(&self, out: &mut BytesMut) {
        match self.failure.get() {
            Some(error) => put(out, error),
            None if self.handle.progress().panicked => {
                let detail = "A task of the batch panicked, which is a bug in fetchway. Some items may have \
                              no outcome.";
                put(out, &FetchError::new(ErrorName::ProxyInternalError, detail));
            }
            None => {}
        }
    }

    /// Writes the lines that have come, up to one piece. Ready when the piece is full or no line is left.
    fn poll_fill(&mut self, out: &mut BytesMut, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            while let Some((line, _hold)) = &mut self.line {
                if out.len() >= PIECE {
                    return Poll::Ready(());
                }
                if !line.write(out, PIECE - out.len()) {
                    self.line = None;
                }
            }
            if !ready!(self.poll_line(cx)) {
                self.ended = true;
                self.put_last(out);
                return Poll::Ready(());
            }
        }
    }
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        this.heed_shutdown(cx);
        let mut out = BytesMut::new();
        if this.poll_fill(&mut out, cx).is_pending() && out.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready((!out.is_empty()).then(|| Ok(Frame::data(out.freeze()))))
    }
}

/// Appends the reason of an early end as a line.
fn put(out: &mut BytesMut, error: &FetchError) {
    out.extend_from_slice(b"{\"status\":0,\"errorCode\":");
    string(out, error.name.as_str());
    out.extend_from_slice(b",\"error\":");
    string(out, &error.detail);
    out.extend_from_slice(b"}\n");
}
