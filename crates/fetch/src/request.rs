//! A fetch as the engine takes it, and its body.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fetchway_policy::FetchError;
use http_body::{Frame, SizeHint};

/// A body whose end need not be known in advance.
pub type StreamedBody = Pin<Box<dyn http_body::Body<Data = Bytes, Error = FetchError> + Send>>;

/// A request for the engine. Its lane is an index in the engine's configuration.
pub type FetchRequest = fetchway_policy::Request<RequestBody, usize>;

/// A request body: whole, so that it can be sent again, or streamed once.
pub enum RequestBody {
    /// The whole body. Empty means no body.
    Full(Bytes),
    /// A stream, which is read as the origin takes it.
    Stream(StreamedBody),
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream(..) => f.write_str("Stream"),
        }
    }
}

impl RequestBody {
    /// Returns no body.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Full(Bytes::new())
    }

    /// Returns a body that is streamed once.
    #[must_use]
    pub fn stream(body: StreamedBody) -> Self {
        Self::Stream(body)
    }

    /// Bytes that the body keeps in memory.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Full(bytes) => bytes.len(),
            Self::Stream(..) => 0,
        }
    }
}

/// A body as a connection takes it, with the counter of its bytes.
pub(crate) struct Sending {
    pub(crate) body: RequestBody,
    pub(crate) sent: Arc<AtomicU64>,
}

impl std::fmt::Debug for Sending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.body.fmt(f)
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        let this = self.get_mut();
        let frame = match &mut this.body {
            RequestBody::Full(bytes) if bytes.is_empty() => None,
            RequestBody::Full(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            RequestBody::Stream(body) => ready!(body.as_mut().poll_frame(cx)),
        };
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.sent.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            RequestBody::Full(bytes) => bytes.is_empty(),
            RequestBody::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            RequestBody::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            RequestBody::Stream(body) => body.size_hint(),
        }
    }
}
