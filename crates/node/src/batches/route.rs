//! `POST /v1/batches`: a batch over HTTP.
//!
//! Items are read on into a spool whatever becomes of the outcomes, and outcomes are given as they come,
//! whatever becomes of the items.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use fetchway_policy::{ErrorName, FetchError};
use fetchway_relay::Principal;
use futures_util::stream;
use http::header::{ALLOW, CONTENT_ENCODING};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::lines::Lines;
use super::spool::{Bounds, Spool};
use super::{Batches, NDJSON};
use crate::problem::{Answer, answer, problem, problem_with};

/// Pieces of the answer on their way to the connection.
const PIECES: usize = 2;
/// A client that still sends when all is answered is read on, until it is silent for so long.
const LINGER: Duration = Duration::from_secs(1);

/// The body of an answer of the main listener.
pub(crate) enum Reply {
    /// All of it.
    Whole(Full<Bytes>),
    /// A batch's lines.
    Lines(Streamed),
}

/// Pieces of a batch's answer, then `None`; without that it was cut off.
pub(crate) struct Streamed {
    pieces: mpsc::Receiver<Option<Bytes>>,
    ended: bool,
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
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Self::Lines(lines) if lines.ended => Poll::Ready(None),
            Self::Lines(lines) => Poll::Ready(match ready!(lines.pieces.poll_recv(cx)) {
                Some(Some(piece)) => Some(Ok(Frame::data(piece))),
                Some(None) => {
                    lines.ended = true;
                    None
                }
                // The client must not take what has come for all there is.
                None => Some(Err(io::Error::other("the batch was cut off"))),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Lines(lines) => lines.ended,
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Lines(_) => http_body::SizeHint::default(),
        }
    }
}

impl Batches {
    /// Answers a request on behalf of `principal`.
    pub(crate) fn post(
        &self,
        principal: &Principal,
        request: Request<Incoming>,
    ) -> Response<Reply> {
        if let Some(refusal) = self.refusal(&request) {
            return refusal.map(Reply::Whole);
        }
        let (spool, memory) = (self.bounds.spool.0, self.bounds.spool_memory.0);
        let spool = Spool::new(Bounds {
            memory: memory.as_usize(),
            file: spool.0.saturating_sub(memory.0),
            folder: self.bounds.spool_dir.clone(),
        });
        let query = request.uri().query().unwrap_or_default();
        let input = Box::pin(stream::unfold(Arc::clone(&spool), async |spool| {
            let piece = spool.read().await?;
            Some((piece, spool))
        }));
        let lines = match self.begin(principal, query, input) {
            Ok(lines) => lines,
            Err(refused) => {
                return problem(refused.status(), &refused.detail()).map(Reply::Whole);
            }
        };
        let (to, pieces) = mpsc::channel(PIECES);
        let exchange = Exchange {
            to,
            spool,
            idle: self.bounds.idle_timeout.0.0,
            taken: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            _alive: self.alive.subscribe(),
        };
        tokio::spawn(exchange.run(lines, request.into_body()));
        let head = answer(StatusCode::OK, NDJSON, Bytes::new());
        let ended = false;
        head.map(|_| Reply::Lines(Streamed { pieces, ended }))
    }

    /// What is wrong with a request, whatever its query says.
    fn refusal(&self, request: &Request<Incoming>) -> Option<Answer> {
        if request.method() != Method::POST {
            let detail = "Batches are sent here with POST.";
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return Some(problem_with(status, detail, ALLOW, "POST"));
        }
        let coding = request.headers().get(CONTENT_ENCODING);
        if coding.is_some_and(|coding| coding != "identity") {
            let detail = "The items come coded, and no content-encoding is undone here: send them as \
                          they are.";
            return Some(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let (said, spool) = (request.body().size_hint().lower(), self.bounds.spool.0);
        (said > spool.0).then(|| {
            let detail = format!(
                "The items have {said} bytes, more than the {spool} that may wait here \
                 (batch.spool): send several batches, stream them without a content-length, or use a \
                 session."
            );
            problem(StatusCode::PAYLOAD_TOO_LARGE, &detail)
        })
    }
}

/// One batch over HTTP.
struct Exchange {
    to: mpsc::Sender<Option<Bytes>>,
    spool: Arc<Spool>,
    /// The longest that a client may do nothing.
    idle: Duration,
    /// It has taken something, or sent something, since that was last asked.
    taken: AtomicBool,
    heard: AtomicBool,
    _alive: watch::Receiver<()>,
}

impl Exchange {
    /// Runs it until the answer has ended, or its client is gone.
    async fn run(self, lines: Lines, mut body: Incoming) {
        let mut reading = pin!(self.read(&mut body));
        let mut giving = pin!(self.give(lines));
        let read = tokio::select! {
            biased;
            given = &mut giving => match given {
                true => false,
                false => return,
            },
            there = &mut reading => match there {
                true => true,
                false => return,
            },
        };
        if read {
            if !giving.await {
                return;
            }
        } else {
            // A connection that is closed while its client still sends loses what that has not read.
            loop {
                match timeout(LINGER, &mut reading).await {
                    Ok(true) => break,
                    Ok(false) => return,
                    Err(_) if self.heard.swap(false, Ordering::Relaxed) => {}
                    Err(_) => break,
                }
            }
        }
        self.send(None).await;
    }

    /// Gives the outcomes' lines. False if nobody takes them.
    async fn give(&self, mut lines: Lines) -> bool {
        loop {
            let frame = tokio::select! {
                biased;
                () = self.to.closed() => return false,
                frame = lines.frame() => frame,
            };
            let Some(Ok(frame)) = frame else {
                return true;
            };
            if let Ok(piece) = frame.into_data()
                && !self.send(Some(piece)).await
            {
                return false;
            }
        }
    }

    /// False if nobody takes it.
    async fn send(&self, piece: Option<Bytes>) -> bool {
        let sent = timeout(self.idle, self.to.send(piece)).await;
        self.taken.store(true, Ordering::Relaxed);
        match sent {
            Ok(sent) => sent.is_ok(),
            Err(_) => {
                tracing::debug!("a batch's client took nothing for too long and was cut off");
                false
            }
        }
    }

    /// Reads the request to its end, the items into the spool. False if the client is gone.
    async fn read(&self, body: &mut Incoming) -> bool {
        let end = loop {
            match timeout(self.idle, body.frame()).await {
                // It may wait for an outcome before it sends the next item.
                Err(_) if self.taken.swap(false, Ordering::Relaxed) => {}
                Err(_) => break Err(self.too_quiet()),
                Ok(None) => break Ok(()),
                Ok(Some(Err(_broken))) => return false,
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data()
                        && let Err(error) = self.spool.write(data).await
                    {
                        break Err(error);
                    }
                }
            }
        };
        self.spool.end(end);
        // One that reads when it has sent all must come to its end, though nobody wants the rest.
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return false;
            }
            self.heard.store(true, Ordering::Relaxed);
        }
        true
    }

    fn too_quiet(&self) -> FetchError {
        let detail = format!(
            "No item came and no outcome was taken for {:?} (batch.idle-timeout): send the items left \
             as another batch. The items read before are answered.",
            self.idle
        );
        FetchError::new(ErrorName::ConnectionReadTimeout, detail)
    }
}
