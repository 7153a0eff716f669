//! What the main listener answers with, and how an answer ends while its client still sends.
//!
//! hyper closes a connection whose answer has ended and whose request has not, and a client that still
//! sends then loses what it has not read (RFC 9112 section 9.6). So such an answer ends when its request
//! does, or when its client has fallen silent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{EXPECT, HeaderMap};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::timeout;

use fetchway_service::problem::Answer;

/// A client that still sends when all is answered is read on, until it is silent for so long.
pub(super) const LINGER: Duration = Duration::from_secs(5);
/// The longest that one is read on whose request was refused: it may be anyone.
const LINGER_REFUSED: Duration = Duration::from_secs(30);

/// The body of an answer of the main listener.
pub(crate) enum Reply {
    /// All of it.
    Whole(Full<Bytes>),
    /// A refusal, and what reads on.
    Refused(Full<Bytes>, Pin<Box<dyn Future<Output = ()> + Send>>),
    /// A batch's lines.
    Lines(Streamed),
}

/// Pieces of a batch's answer, then `None`; without that it was cut off.
pub(crate) struct Streamed {
    pieces: mpsc::Receiver<Option<Bytes>>,
    ended: bool,
}

impl Streamed {
    pub(super) fn new(pieces: mpsc::Receiver<Option<Bytes>>) -> Self {
        let ended = false;
        Self { pieces, ended }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.pieces.poll_recv(cx)) {
            Some(Some(piece)) => Some(Ok(piece)),
            Some(None) => {
                self.ended = true;
                None
            }
            // The client must not take what has come for all there is.
            None => Some(Err(io::Error::other("the batch was cut off"))),
        })
    }
}

impl From<Full<Bytes>> for Reply {
    fn from(whole: Full<Bytes>) -> Self {
        Self::Whole(whole)
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let (whole, rest) = match self.get_mut() {
            Self::Whole(whole) => (whole, None),
            Self::Refused(whole, rest) => (whole, Some(rest)),
            Self::Lines(lines) => return lines.poll(cx).map_ok(Frame::data),
        };
        let frame = ready!(Pin::new(whole).poll_frame(cx));
        if frame.is_none()
            && let Some(rest) = rest
        {
            ready!(rest.as_mut().poll(cx));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Refused(..) => false,
            Self::Lines(lines) => lines.ended,
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            // If its length were told, it would be over with its last byte.
            Self::Refused(..) | Self::Lines(_) => http_body::SizeHint::default(),
        }
    }
}

/// Whether a client waits to be told to go on before it sends its body.
pub(super) fn expects(headers: &HeaderMap) -> bool {
    let mut expected = headers.get_all(EXPECT).iter();
    expected.any(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// A refusal that its client sees, though it still sends.
pub(crate) fn refused(answer: Answer, request: Request<Incoming>) -> Response<Reply> {
    // One that waits to be told to go on is told not to.
    if request.body().is_end_stream() || expects(request.headers()) {
        return answer.map(Reply::Whole);
    }
    let rest = Box::pin(read_on(request.into_body()));
    answer.map(|whole| Reply::Refused(whole, rest))
}

async fn read_on(mut body: Incoming) {
    let all = async { while let Ok(Some(Ok(_))) = timeout(LINGER, body.frame()).await {} };
    // Cut off or not, nothing more can be done for it.
    let _late = timeout(LINGER_REFUSED, all).await;
}
