//! A response body on its way from a connection to its reader.
//!
//! `Raw` is the body as the origin sends it: it drives the connection, keeps the timeouts, counts bytes
//! against the cap, holds the permits, and returns the connection at the end. `Body` undoes content codings
//! on top of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fetchway_policy::{ErrorName, FetchError};
use futures_util::FutureExt as _;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::admit::Permit;
use crate::clock::BodyClock;
use crate::decode::Decoder;
use crate::end::End;
use crate::pool::{Download, H1, Site, StreamLease, Upload, UploadError};

/// The connection or stream from which the bytes come.
pub(crate) enum Source {
    Http1 {
        connection: H1,
        incoming: Incoming,
        site: Arc<Site>,
    },
    Http2 {
        download: Download,
        upload: Upload,
        /// Error of the upload that occurred while nobody read the response.
        failed: Option<FetchError>,
        /// Place on the connection, held until the stream has ended.
        _place: StreamLease,
    },
    /// No body, or none left.
    Done,
}

impl Source {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        match self {
            Self::Http1 {
                connection,
                incoming,
                ..
            } => {
                let mut frame = Pin::new(&mut *incoming).poll_frame(cx);
                if frame.is_pending() {
                    // Polling told the connection that more bytes are wanted.
                    connection.drive(cx);
                    frame = Pin::new(incoming).poll_frame(cx);
                }
                frame.map_err(|error| incomplete(crate::pool::name_http1(&error)))
            }
            Self::Http2 {
                download,
                upload,
                failed,
                ..
            } => {
                if let Some(error) = failed.take() {
                    return Poll::Ready(Some(Err(error)));
                }
                // The upload goes on beside the response. If the origin takes no more of it, that no longer
                // matters; if the request body fails, it does.
                if let Poll::Ready(Err(UploadError::Body(error))) = upload.poll(cx) {
                    return Poll::Ready(Some(Err(error)));
                }
                download.poll(cx).map_err(incomplete)
            }
            Self::Done => Poll::Ready(None),
        }
    }

    /// Continues a request body that is still being sent.
    fn drive(&mut self, cx: &mut Context<'_>) {
        match self {
            // This reads at most one piece of the response, because nobody has asked for another.
            Self::Http1 { connection, .. } => connection.drive(cx),
            Self::Http2 { upload, failed, .. } => {
                if let Poll::Ready(Err(UploadError::Body(error))) = upload.poll(cx) {
                    *failed = Some(error);
                }
            }
            Self::Done => {}
        }
    }

    pub(crate) fn is_end(&self) -> bool {
        match self {
            Self::Http1 { incoming, .. } => incoming.is_end_stream(),
            Self::Http2 { download, .. } => download.is_end(),
            Self::Done => true,
        }
    }

    /// Bytes still to come, if the origin has sent a length.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Http1 { incoming, .. } => incoming.size_hint().exact(),
            Self::Http2 { download, .. } => download.left(),
            Self::Done => Some(0),
        }
    }

    /// Reports that the body has been read to its end, so that its connection may be used again.
    fn finish(&mut self) {
        if let Self::Http1 {
            connection, site, ..
        } = std::mem::replace(self, Self::Done)
        {
            site.give_back(connection);
        }
    }
}

/// Converts an error: within a body, a closed connection means that the response is incomplete.
fn incomplete(error: FetchError) -> FetchError {
    match error.name {
        ErrorName::ConnectionTerminated => FetchError {
            name: ErrorName::HttpResponseIncomplete,
            ..error
        },
        _ => error,
    }
}

/// A body as the origin sends it.
pub(crate) struct Raw {
    pub(crate) source: Source,
    pub(crate) clock: BodyClock,
    /// Permits, which return with the last byte.
    pub(crate) permit: Option<Permit>,
    pub(crate) cap: u64,
    pub(crate) received: u64,
}

impl Raw {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        self.clock.asked();
        let Poll::Ready(frame) = self.source.poll_frame(cx) else {
            let error = ready!(self.clock.poll(cx));
            return Poll::Ready(Some(Err(self.fail(error))));
        };
        match frame {
            Some(Ok(frame)) => {
                self.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                if self.received > self.cap {
                    let error = over_cap(self.cap);
                    return Poll::Ready(Some(Err(self.fail(error))));
                }
                self.clock.gave();
                if self.source.is_end() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(self.fail(error)))),
            None => {
                self.finish();
                Poll::Ready(None)
            }
        }
    }

    fn finish(&mut self) {
        self.source.finish();
        self.permit = None;
    }

    /// Dropping the source closes the connection or resets the stream.
    fn fail(&mut self, error: FetchError) -> FetchError {
        self.source = Source::Done;
        self.permit = None;
        error
    }
}

pub(crate) fn over_cap(cap: u64) -> FetchError {
    let cap = match cap {
        cap if cap > 0 && cap % (1 << 20) == 0 => format!("{} MiB", cap >> 20),
        cap if cap > 0 && cap % (1 << 10) == 0 => format!("{} KiB", cap >> 10),
        cap => format!("{cap} bytes"),
    };
    let detail = format!(
        "The response body has more than {cap}, the lane's response-cap: raise that, or ask for less."
    );
    FetchError::new(ErrorName::HttpResponseBodySize, detail)
}

/// A response body. Dropping it before its end cancels the fetch.
///
/// A request body that is still being sent continues only while this body is polled. A caller that stops
/// reading for a while must call [`Body::drive`] instead.
pub struct Body {
    raw: Raw,
    decoder: Option<Box<Decoder>>,
    decoded: u64,
    /// Trailers, which follow the decoded body.
    trailers: Option<Frame<Bytes>>,
    end: Option<End>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({} bytes received)", self.raw.received)
    }
}

impl Body {
    pub(crate) fn new(mut raw: Raw, decoder: Option<Decoder>, end: End) -> Self {
        if raw.source.is_end() {
            raw.finish();
        }
        let mut body = Self {
            raw,
            decoder: decoder.map(Box::new),
            decoded: 0,
            trailers: None,
            end: Some(end),
        };
        if body.is_end_stream() {
            body.ended(None);
        }
        body
    }

    /// Returns the next frame if it has arrived already. A small body usually arrives whole, together with
    /// its header.
    ///
    /// # Errors
    /// The error of the body.
    pub fn at_once(&mut self) -> Result<Option<Frame<Bytes>>, FetchError> {
        if self.is_end_stream() {
            return Ok(None);
        }
        self.frame().now_or_never().flatten().transpose()
    }

    /// Tells the schedule that the reader has stopped, or continues. While it has stopped, its permit may
    /// be lent to others. The timeouts need no call.
    pub fn set_paused(&mut self, paused: bool) {
        if let Some(permit) = &mut self.raw.permit {
            permit.set_paused(paused);
        }
    }

    /// Continues a request body that is still being sent, without reading the response. A caller with such
    /// a request calls this whenever its task wakes while its reader has stopped: an origin may send its
    /// answer only as it reads, and its client may read only when everything is sent.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        self.raw.source.drive(cx);
    }

    /// Ends the fetch with `error`, and its connection or stream too.
    pub(crate) fn fail(&mut self, error: FetchError) -> FetchError {
        self.ended(Some(error.name));
        self.raw.fail(error)
    }

    fn ended(&mut self, error: Option<ErrorName>) {
        if let Some(end) = self.end.take() {
            end.tell(error, self.raw.received);
        }
    }

    fn poll_any(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        let Some(decoder) = &mut self.decoder else {
            return self.raw.poll_frame(cx);
        };
        loop {
            if let Some(piece) = decoder.next()? {
                self.decoded += piece.len() as u64;
                if self.decoded > self.raw.cap {
                    return Poll::Ready(Some(Err(over_cap(self.raw.cap))));
                }
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if decoder.is_over() {
                return Poll::Ready(self.trailers.take().map(Ok));
            }
            match ready!(self.raw.poll_frame(cx)) {
                None => decoder.end(),
                Some(frame) => match frame?.into_data() {
                    Ok(data) => decoder.push(&data),
                    Err(trailers) => {
                        self.trailers = Some(trailers);
                        decoder.end();
                    }
                },
            }
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.ended(Some(ErrorName::Cancelled));
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        let this = self.get_mut();
        if this.end.is_none() {
            return Poll::Ready(None);
        }
        let frame = ready!(this.poll_any(cx));
        match &frame {
            Some(Ok(_)) if this.is_end_stream() => this.ended(None),
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                let error = error.clone();
                this.fail(error);
            }
            None => this.ended(None),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none() || self.decoder.is_none() && matches!(self.raw.source, Source::Done)
    }

    fn size_hint(&self) -> SizeHint {
        match self.raw.source.left() {
            Some(left) if self.decoder.is_none() => SizeHint::with_exact(left),
            _ => SizeHint::default(),
        }
    }
}
