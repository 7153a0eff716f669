//! A request's body on its way out: taken piece by piece as there is room, and kept as long as it may
//! have to be given again.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;

use crate::BoxError;
use crate::error::Error;
use crate::link::{Enough, Intake, MAX_REQUEST, too_long};

/// Bytes of a body that are kept to be given again; the piece that passes this is kept as well. It is
/// more than a session takes of a body before the request's head has gone out, so what was never sent
/// can always be given again. Pieces are shared with the session, not copied.
const KEEP: usize = 64 << 10;

/// What is known of a body before it is sent.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// There is none.
    None,
    /// All of it is here.
    Whole(Bytes),
    /// It is to be asked for.
    Streamed,
}

/// A request's body.
pub(crate) struct Upload<B> {
    source: Source,
    rest: Option<Pin<Box<B>>>,
    trailers: Option<HeaderMap>,
    /// Its length, if that is known.
    length: Option<u64>,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    /// All that was taken is in `kept`.
    complete: bool,
    /// How many of `kept` have been given to the stream at hand.
    given: usize,
    /// Where to, until all is given or no more is wanted.
    intake: Option<Intake>,
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Looks at the body, without waiting for it: one that is there as a whole is taken.
    ///
    /// # Errors
    /// The body's own.
    pub(crate) fn new(body: B, cx: &mut Context<'_>) -> Result<Self, Error> {
        let mut upload = Self {
            source: Source::None,
            rest: None,
            trailers: None,
            length: body.size_hint().exact(),
            kept: Vec::new(),
            kept_bytes: 0,
            complete: true,
            given: 0,
            intake: None,
        };
        if body.is_end_stream() {
            return Ok(upload);
        }
        upload.rest = Some(Box::pin(body));
        upload.source = Source::Streamed;
        if let Poll::Ready(more) = upload.poll_take(cx) {
            let more = more?;
            let ended = upload.rest.as_ref().is_none_or(|rest| rest.is_end_stream());
            if upload.trailers.is_none() && (!more || ended) {
                upload.rest = None;
                upload.source = match upload.kept.pop() {
                    Some(whole) => Source::Whole(whole),
                    None => Source::None,
                };
                upload.length = Some(upload.kept_bytes as u64);
            }
        }
        Ok(upload)
    }

    /// How long the body is, if that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// A stream was opened with the source; `intake` gives the way in for what is not there yet.
    pub(crate) fn begin(&mut self, intake: impl FnOnce() -> Intake) {
        if let Source::Streamed = self.source {
            self.intake = Some(intake());
        }
    }

    /// The stream is lost. `false` if the body can't be given to another one.
    pub(crate) fn again(&mut self) -> bool {
        self.intake = None;
        self.given = 0;
        self.complete
    }

    /// The response has begun: what is left is given by a task of its own, and nothing is kept.
    pub(crate) fn finish(mut self)
    where
        B: Send + 'static,
    {
        if self.intake.is_none() {
            return;
        }
        self.complete = false;
        self.kept.drain(..self.given);
        self.given = 0;
        tokio::spawn(async move {
            if let Err(error) = std::future::poll_fn(|cx| self.poll_give(cx)).await
                && let Some(intake) = self.intake
            {
                intake.fail(error);
            }
        });
    }

    /// Takes one more piece of the body. `false` at its end.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(Ok(false));
        };
        let frame = match ready!(rest.as_mut().poll_frame(cx)) {
            None => {
                self.rest = None;
                return Poll::Ready(Ok(false));
            }
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.rest = None;
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

    /// A piece was taken. It is the next to be given.
    fn keep(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        self.complete &= self.kept_bytes <= KEEP;
        self.kept_bytes += piece.len();
        if !self.complete {
            self.kept.drain(..self.given);
            self.given = 0;
        }
        self.kept.push(piece);
    }

    /// Gives the body to the stream as there is room. Ready when all of it is given, or no more is
    /// wanted.
    ///
    /// # Errors
    /// The body's own.
    pub(crate) fn poll_give(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while let Some(intake) = &self.intake {
            if ready!(intake.poll_room(cx)).is_err() {
                self.intake = None;
            } else if let Some(piece) = self.kept.get(self.given) {
                self.given += 1;
                if let Err(Enough) = intake.data(piece.clone()) {
                    self.intake = None;
                }
            } else if !ready!(self.poll_take(cx))? {
                let intake = self.intake.take();
                // Whether it is still wanted or not, nothing more is to be done.
                let ended = intake.map(|intake| intake.end(self.trailers.as_ref()));
                tracing::trace!(?ended, "a body is given");
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the whole body, for a relay that wants it so. Its trailers are left out.
    pub(crate) fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if self.kept_bytes > MAX_REQUEST {
                return Poll::Ready(Err(too_long(self.kept_bytes)));
            }
            if !ready!(self.poll_take(cx))? {
                break;
            }
        }
        let mut whole = BytesMut::with_capacity(self.kept_bytes);
        for piece in self.kept.drain(..) {
            whole.extend_from_slice(&piece);
        }
        self.source = Source::Whole(whole.freeze());
        // All of it is here again, however much it is.
        self.complete = true;
        Poll::Ready(Ok(()))
    }
}
