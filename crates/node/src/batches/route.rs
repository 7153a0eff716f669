//! `POST /v1/batches`: a batch over HTTP.
//!
//! Items are read on into a spool whatever becomes of the outcomes, and outcomes are given as they come,
//! whatever becomes of the items.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use fetchway_batch::Handle;
use fetchway_policy::{ErrorName, FetchError};
use fetchway_service::{Phase, Principal};
use futures_util::stream;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::lines::Lines;
use super::reply::{LINGER, Reply, Streamed, expects, refused};
use super::spool::{Bounds, Spool};
use super::{Batches, NDJSON};
use fetchway_service::problem::{Answer, answer, problem, problem_with};

/// Pieces of the answer on their way to the connection.
const PIECES: usize = 2;

type Read = Option<Result<Frame<Bytes>, hyper::Error>>;

impl Batches {
    /// Answers a request on behalf of `principal`.
    pub(crate) async fn post(
        &self,
        principal: &Principal,
        request: Request<Incoming>,
    ) -> Response<Reply> {
        if let Some(refusal) = self.refusal(&request) {
            return refused(refusal, request);
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
            Err(why) => return refused(problem(why.status(), &why.detail()), request),
        };
        let expects = expects(request.headers());
        let mut body = request.into_body();
        let first = match expects {
            true => go_on(&mut body).await,
            false => None,
        };
        let (to, pieces) = mpsc::channel(PIECES);
        let exchange = Exchange {
            to,
            spool,
            idle: self.bounds.idle_timeout.0.0,
            taken: AtomicBool::new(false),
            heard: AtomicBool::new(false),
        };
        // A batch over a session is part of the session's work; a batch over HTTP is work of its own.
        let mut work = self.shutdown.begin();
        tokio::spawn(async move {
            tokio::select! {
                () = exchange.run(lines, first, body) => {}
                // Dropping the exchange cuts the batch off.
                () = work.reached(Phase::Closing) => {}
            }
        });
        let head = answer(StatusCode::OK, NDJSON, Bytes::new());
        head.map(|_| Reply::Lines(Streamed::new(pieces)))
    }

    /// What is wrong with a request, whatever its query says.
    fn refusal(&self, request: &Request<Incoming>) -> Option<Answer> {
        if request.method() != Method::POST {
            let detail = "Batches are sent here with POST.";
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return Some(problem_with(status, detail, ALLOW, "POST"));
        }
        if request.version() < Version::HTTP_11 {
            let detail = "Over HTTP/1.0 an answer that is cut off looks like a whole one: ask with \
                          HTTP/1.1 (through nginx: proxy_http_version 1.1).";
            return Some(problem(StatusCode::HTTP_VERSION_NOT_SUPPORTED, detail));
        }
        let mut codings = request.headers().get_all(CONTENT_ENCODING).iter();
        if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let detail = "The items come coded, and no content-encoding is undone here: send them as \
                          they are.";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Some(problem_with(status, detail, ACCEPT_ENCODING, "identity"));
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

/// Has hyper send `100 Continue` to a client that waits for it. It does so when the body is asked for, but
/// not once the answer has begun; and clients that see a status first send no body at all, or wait a while.
/// Gives what has come of the body, if anything has.
async fn go_on(body: &mut Incoming) -> Option<Read> {
    let mut body = Pin::new(body);
    let first = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
        Poll::Ready(frame) => Poll::Ready(Some(frame)),
        Poll::Pending => Poll::Ready(None),
    });
    let first = first.await;
    // The connection looks at what is asked for before it looks for an answer.
    tokio::task::yield_now().await;
    first
}

/// Whether items wait for their outcomes.
fn is_busy(run: &Handle) -> bool {
    let progress = run.progress();
    progress.done < progress.read
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
}

impl Exchange {
    /// Runs it until the answer has ended, or its client is gone.
    async fn run(self, lines: Lines, first: Option<Read>, body: Incoming) {
        let mut reading = pin!(self.read(first, body, lines.handle()));
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
    async fn read(&self, mut first: Option<Read>, mut body: Incoming, run: Handle) -> bool {
        let end = loop {
            let frame = match first.take() {
                Some(first) => Ok(first),
                None => timeout(self.idle, body.frame()).await,
            };
            match frame {
                // It may wait for an outcome before it sends the next item, and that may be long in coming.
                Err(_) if self.taken.swap(false, Ordering::Relaxed) || is_busy(&run) => {}
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
            "All items were answered, and no more came for {:?} (batch.idle-timeout): send those left as \
             another batch, or blank lines while there are none.",
            self.idle
        );
        FetchError::new(ErrorName::ConnectionReadTimeout, detail)
    }
}
