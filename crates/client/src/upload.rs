//! The body of a request: read and sent piece by piece as there is room, and kept while the request may
//! have to be sent again.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;

use crate::BoxError;
use crate::error::Error;
use crate::link::{BodyRefused, BodySender, MAX_REQUEST, too_long};
use crate::request::RequestBody;

/// Bytes of a body that are kept to be sent again; the piece that exceeds this is kept as well.
///
/// The limit is more than a session accepts of a body before it sends the request's head, so a request
/// that was never sent can always be sent again. Pieces are shared with the session, not copied.
const KEEP: usize = 64 << 10;

/// The body of a request, and what has been read of it.
pub(crate) struct Upload<B> {
    known: RequestBody,
    /// The caller's body, until its end.
    unread: Option<Pin<Box<B>>>,
    trailers: Option<HeaderMap>,
    /// Length of the body in bytes, if it is known.
    length: Option<u64>,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    /// True if `kept` contains everything that was read.
    complete: bool,
    /// Number of pieces of `kept` that have been sent on the current stream.
    sent: usize,
    /// The current stream, until all is sent or it accepts no more.
    sender: Option<BodySender>,
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Polls the body once: a body that is completely available is taken whole.
    ///
    /// # Errors
    /// `cancelled` if the body fails.
    pub(crate) fn new(body: B, cx: &mut Context<'_>) -> Result<Self, Error> {
        let mut upload = Self {
            known: RequestBody::None,
            unread: None,
            trailers: None,
            length: body.size_hint().exact(),
            kept: Vec::new(),
            kept_bytes: 0,
            complete: true,
            sent: 0,
            sender: None,
        };
        if body.is_end_stream() {
            return Ok(upload);
        }
        upload.unread = Some(Box::pin(body));
        upload.known = RequestBody::Streamed;
        if let Poll::Ready(more) = upload.poll_read(cx) {
            let more = more?;
            let ended = upload
                .unread
                .as_ref()
                .is_none_or(|body| body.is_end_stream());
            if upload.trailers.is_none() && (!more || ended) {
                upload.unread = None;
                upload.known = match upload.kept.pop() {
                    Some(whole) => RequestBody::Whole(whole),
                    None => RequestBody::None,
                };
                upload.length = Some(upload.kept_bytes as u64);
            }
        }
        Ok(upload)
    }

    /// Returns the length of the body in bytes, if it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Returns the body as far as it is known before the request is sent.
    pub(crate) fn known(&self) -> &RequestBody {
        &self.known
    }

    /// Begins to send the body on a stream that was opened with [`known`](Self::known).
    pub(crate) fn begin(&mut self, sender: impl FnOnce() -> BodySender) {
        if let RequestBody::Streamed = self.known {
            self.sender = Some(sender());
        }
    }

    /// Prepares for another stream, as the current one was lost. Returns false if the body cannot be sent
    /// again.
    pub(crate) fn rewind(&mut self) -> bool {
        self.sender = None;
        self.sent = 0;
        self.complete
    }

    /// Continues sending in a task of its own, as the response has begun. Nothing is kept any more.
    pub(crate) fn finish(mut self)
    where
        B: Send + 'static,
    {
        if self.sender.is_none() {
            return;
        }
        self.complete = false;
        self.drop_sent();
        tokio::spawn(async move {
            if let Err(error) = std::future::poll_fn(|cx| self.poll_send(cx)).await
                && let Some(sender) = self.sender
            {
                sender.fail(error);
            }
        });
    }

    /// Reads one more frame of the body. Returns false at its end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        let Some(body) = &mut self.unread else {
            return Poll::Ready(Ok(false));
        };
        let frame = match ready!(body.as_mut().poll_frame(cx)) {
            None => {
                self.unread = None;
                return Poll::Ready(Ok(false));
            }
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.unread = None;
                let error: BoxError = error.into();
                let detail =
                    format!("The request's body failed ({error}), so the fetch was cancelled.");
                return Poll::Ready(Err(Error::of_body(detail)));
            }
        };
        match frame.into_data() {
            Ok(piece) => self.keep(piece),
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
        Poll::Ready(Ok(true))
    }

    /// Keeps a piece that was read, to be sent next.
    fn keep(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        self.complete &= self.kept_bytes <= KEEP;
        self.kept_bytes += piece.len();
        if !self.complete {
            self.drop_sent();
        }
        self.kept.push(piece);
    }

    fn drop_sent(&mut self) {
        self.kept.drain(..self.sent);
        self.sent = 0;
    }

    /// Sends the body on the current stream as there is room. Ready when all is sent, or the stream accepts
    /// no more.
    ///
    /// # Errors
    /// `cancelled` if the body fails.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while let Some(sender) = &self.sender {
            if ready!(sender.poll_room(cx)).is_err() {
                self.sender = None;
            } else if let Some(piece) = self.kept.get(self.sent) {
                self.sent += 1;
                if let Err(BodyRefused) = sender.data(piece.clone()) {
                    self.sender = None;
                }
            } else if !ready!(self.poll_read(cx))? {
                let sender = self.sender.take();
                // Nothing is left to do, whether the stream still accepts the end or not.
                let ended = sender.map(|sender| sender.end(self.trailers.as_ref()));
                tracing::trace!(?ended, "request body sent");
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads the whole body, as JSON requires. Trailers are dropped.
    ///
    /// # Errors
    /// `cancelled` if the body fails, `limit_exceeded` if it is too long for JSON.
    pub(crate) fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if self.kept_bytes > MAX_REQUEST {
                return Poll::Ready(Err(too_long(self.kept_bytes)));
            }
            if !ready!(self.poll_read(cx))? {
                break;
            }
        }
        let mut whole = BytesMut::with_capacity(self.kept_bytes);
        for piece in self.kept.drain(..) {
            whole.extend_from_slice(&piece);
        }
        self.known = RequestBody::Whole(whole.freeze());
        // The whole body is kept, whatever its length.
        self.complete = true;
        Poll::Ready(Ok(()))
    }
}
