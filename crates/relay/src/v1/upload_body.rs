//! A request body of a stream, as the engine reads it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fetchway_policy::FetchError;
use http_body::{Frame, SizeHint};

use super::session::Session;
use super::upload::{Piece, Upload};

/// The body as the engine reads it. If it is dropped before its end, the client is told to stop sending.
pub(super) struct UploadBody {
    pub(super) session: Arc<Session>,
    pub(super) stream: u64,
    pub(super) upload: Arc<Upload>,
    /// Bytes still to come, if the client has sent a `content-length`.
    pub(super) left: Option<u64>,
    pub(super) ended: bool,
}

impl http_body::Body for UploadBody {
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
        let frame = match ready!(this.upload.poll_next(cx)) {
            Piece::Data { bytes, last } => {
                this.ended = last;
                let n = bytes.len() as u64;
                this.left = this.left.map(|left| left.saturating_sub(n));
                let session = &this.session;
                session.act(|state| state.machine.consumed(this.stream, n));
                Some(Frame::data(bytes))
            }
            Piece::End(trailers) => {
                this.ended = true;
                trailers.map(Frame::trailers)
            }
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for UploadBody {
    fn drop(&mut self) {
        // With all bytes of the content-length received, only the end of the stream is missing, and a client
        // that sends more is refused anyway.
        if !self.ended && self.left != Some(0) {
            // If the stream is over, no client is left to be told.
            let _ = self.session.act(|state| state.machine.stop(self.stream));
        }
    }
}
