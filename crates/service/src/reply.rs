//! The body of an answer of the main listener, and how an answer ends while its client still sends.
//!
//! hyper closes a connection whose answer has ended and whose request has not. A client that still sends
//! then loses the part of the answer that it has not read (RFC 9112 section 9.6). Such an answer therefore
//! ends together with its request, or when the client has become silent.

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

use crate::problem::Answer;

/// Silence after which the rest of a request is given up, once its answer is complete.
pub const LINGER: Duration = Duration::from_secs(5);
/// Longest time for which the rest of a refused request is read: anyone may have sent it.
const LINGER_REFUSED: Duration = Duration::from_secs(30);

/// The body of an answer of the main listener.
pub enum Reply {
    /// A complete body.
    Whole(Full<Bytes>),
    /// A refusal, and the task that reads the rest of the request.
    Refused(Full<Bytes>, Pin<Box<dyn Future<Output = ()> + Send>>),
    /// A body that comes in pieces.
    Pieces(Pieces),
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Refused(..) => "Refused",
            Self::Pieces(_) => "Pieces",
        })
    }
}

/// The pieces of a body. A channel that closes before it has brought `None` means that the body was cut off.
#[derive(Debug)]
pub struct Pieces {
    pieces: mpsc::Receiver<Option<Bytes>>,
    ended: bool,
}

impl Pieces {
    /// Returns the body that `pieces` brings.
    #[must_use]
    pub fn new(pieces: mpsc::Receiver<Option<Bytes>>) -> Self {
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
            // The client must not mistake a part for the whole.
            None => Some(Err(io::Error::other("the answer was cut off"))),
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
            Self::Pieces(pieces) => return pieces.poll(cx).map_ok(Frame::data),
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
            Self::Pieces(pieces) => pieces.ended,
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            // With a known length, hyper would end the answer at its last byte.
            Self::Refused(..) | Self::Pieces(_) => http_body::SizeHint::default(),
        }
    }
}

/// Returns true if the client waits for `100 Continue` before it sends its body (RFC 9110 section 10.1.1).
#[must_use]
pub fn expects_continue(headers: &HeaderMap) -> bool {
    let mut expected = headers.get_all(EXPECT).iter();
    expected.any(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Refuses a request with `answer`, so that the client sees the answer even if it still sends.
#[must_use]
pub fn refuse(answer: Answer, request: Request<Incoming>) -> Response<Reply> {
    // A client that waits for `100 Continue` does not send its body after a refusal.
    if request.body().is_end_stream() || expects_continue(request.headers()) {
        return answer.map(Reply::Whole);
    }
    let rest = Box::pin(discard(request.into_body()));
    answer.map(|whole| Reply::Refused(whole, rest))
}

async fn discard(mut body: Incoming) {
    let all = async { while let Ok(Some(Ok(_))) = timeout(LINGER, body.frame()).await {} };
    // After the bound, the connection closes whether or not the client has seen the answer.
    let _late = timeout(LINGER_REFUSED, all).await;
}
