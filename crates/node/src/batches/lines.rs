//! The outcomes of a batch as the body of an answer: JSON lines, in pieces, as they are taken.
//!
//! It is the batch: dropped, it ends the run and all that is under way. While it is not read, outcomes
//! keep their places in flight, so that the run waits.
//!
//! What ends a batch before its time is its last line, without an index: a status cannot be taken back,
//! and a stream that is reset loses what its client has not read.

use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use fetchway_batch::{Done, Handle, Outcomes};
use fetchway_fetch::Hold;
use fetchway_policy::{ErrorName, FetchError};
use fetchway_wire::json::Encoder;
use fetchway_wire::json::text::string;
use futures_util::Stream as _;
use http_body::Frame;

use super::Failure;
use super::order::Order;
use super::places::Place;
use fetchway_service::{Phase, Shutdown};

/// Bytes of one piece, about: a frame of the binary encoding carries as much.
const PIECE: usize = 16 << 10;

/// The outcomes' lines.
pub(crate) struct Lines {
    outcomes: Outcomes<Hold>,
    handle: Handle,
    order: Option<Order>,
    /// The line that is being written, and what keeps room for it.
    line: Option<(Encoder, Option<Hold>)>,
    /// Why it ends before its time.
    failure: Failure,
    /// Ready when the node begins to shut down; none when it has.
    leaving: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    ended: bool,
    _place: Place,
}

impl Lines {
    pub(super) fn new(
        (outcomes, handle): (Outcomes<Hold>, Handle),
        order: Option<Order>,
        failure: Failure,
        (shutdown, place): (Shutdown, Place),
    ) -> Self {
        let leaving = async move { shutdown.reached(Phase::Draining).await };
        Self {
            outcomes,
            handle,
            order,
            line: None,
            failure,
            leaving: Some(Box::pin(leaving)),
            ended: false,
            _place: place,
        }
    }

    /// A hand on its run.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Begins nothing more when the node is shutting down; what is in flight is finished.
    fn heed_shutdown(&mut self, cx: &mut Context<'_>) {
        let Some(leaving) = &mut self.leaving else {
            return;
        };
        if leaving.as_mut().poll(cx).is_ready() {
            self.leaving = None;
            let detail = "This node is shutting down: what was in flight has been answered; send the \
                          items without an outcome to another node.";
            let error = FetchError::new(ErrorName::DestinationUnavailable, detail);
            let _first = self.failure.set(error);
            self.handle.stop();
        }
    }

    /// Finds the next line to be written; false when all is over.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if let Some(line) = self.order.as_mut().and_then(Order::next) {
                self.line = Some((line, None));
                return Poll::Ready(true);
            }
            let Some(Done { outcome, hold }) = ready!(Pin::new(&mut self.outcomes).poll_next(cx))
            else {
                let rest = self.order.as_mut().and_then(Order::rest);
                self.line = rest.map(|line| (line, None));
                return Poll::Ready(self.line.is_some());
            };
            let index = outcome.index;
            let line = outcome.into_line();
            match &mut self.order {
                // What is held back is counted there: a hold that is kept could keep the item out that
                // is waited for.
                Some(order) if !order.is_next(index) => {
                    drop(hold);
                    if let Err(error) = order.hold(index, line) {
                        // Whatever ends it now comes first.
                        self.failure = Failure::from(OnceLock::from(error));
                        return Poll::Ready(false);
                    }
                }
                order => {
                    if let Some(order) = order {
                        order.out(&line);
                    }
                    self.line = Some((line, hold));
                    return Poll::Ready(true);
                }
            }
        }
    }

    /// Appends why the batch ends here, if that is before its time.
    fn put_last(&self, out: &mut BytesMut) {
        match self.failure.get() {
            Some(error) => put(out, error),
            None if self.handle.progress().panicked => {
                let detail = "A task of the batch panicked; this is a fault of fetchway. Items may be \
                              without an outcome.";
                put(out, &FetchError::new(ErrorName::ProxyInternalError, detail));
            }
            None => {}
        }
    }

    /// Writes as many lines as there are, up to a piece. Ready when the piece is full or all is over.
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

/// What ends a batch before its time, as a line.
fn put(out: &mut BytesMut, error: &FetchError) {
    out.extend_from_slice(b"{\"status\":0,\"errorCode\":");
    string(out, error.name.as_str());
    out.extend_from_slice(b",\"error\":");
    string(out, &error.detail);
    out.extend_from_slice(b"}\n");
}
