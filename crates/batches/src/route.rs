//! `POST /v1/batches`: a batch over HTTP.
//!
//! Items are read into a spool even while outcomes wait to be taken, and outcomes are sent as they come, even
//! while items are still being read. A client may therefore send everything before it reads anything.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use fetchway_batch::Handle;
use fetchway_policy::units::Size;
use fetchway_policy::{ErrorName, FetchError};
use fetchway_service::problem::{Answer, answer, problem, problem_with};
use fetchway_service::reply::{LINGER, Pieces, Reply, expects_continue, refuse};
use fetchway_service::{Phase, Principal, Replying, Route};
use futures_util::stream;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::batches::{Batches, NDJSON};
use crate::lines::Lines;
use crate::spool::{Bounds, Spool};

/// Path of the route.
const PATH: &str = "/v1/batches";

/// Maximum number of pieces of the answer that wait for the connection.
const PIECES: usize = 2;

type Read = Option<Result<Frame<Bytes>, hyper::Error>>;

impl Route for Batches {
    fn serves(&self, path: &str, _headers: &HeaderMap) -> bool {
        path == PATH
    }

    fn token_hint(&self) -> &'static str {
        "send it as `Authorization: Bearer TOKEN`"
    }

    fn refuse(&self, answer: Answer, request: Request<Incoming>) -> Response<Reply> {
        refuse(answer, request)
    }

    fn handle<'a>(&'a self, principal: &'a Principal, request: Request<Incoming>) -> Replying<'a> {
        Box::pin(self.post(principal, request))
    }
}

impl Batches {
    async fn post(&self, principal: &Principal, request: Request<Incoming>) -> Response<Reply> {
        if let Some(refusal) = self.refusal(&request) {
            return refuse(refusal, request);
        }
        let limits = &self.limits;
        let spool = Spool::new(Bounds {
            memory: usize::try_from(limits.spool_memory).unwrap_or(usize::MAX),
            file: limits.spool.saturating_sub(limits.spool_memory),
            folder: limits.spool_dir.clone(),
        });
        let query = request.uri().query().unwrap_or_default();
        let input = Box::pin(stream::unfold(Arc::clone(&spool), async |spool| {
            let piece = spool.read().await?;
            Some((piece, spool))
        }));
        let lines = match self.begin(principal, query, input) {
            Ok(lines) => lines,
            Err(why) => return refuse(why.answer(), request),
        };
        let expects_continue = expects_continue(request.headers());
        let mut body = request.into_body();
        let first = match expects_continue {
            true => send_continue(&mut body).await,
            false => None,
        };
        let (to, pieces) = mpsc::channel(PIECES);
        let exchange = Exchange {
            to,
            spool,
            idle: limits.idle_timeout,
            has_taken: AtomicBool::new(false),
            has_sent: AtomicBool::new(false),
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
        head.map(|_| Reply::Pieces(Pieces::new(pieces)))
    }

    /// Returns the refusal of a request that is wrong whatever its query says.
    fn refusal(&self, request: &Request<Incoming>) -> Option<Answer> {
        if request.method() != Method::POST {
            let detail = "This path takes batches, which are sent with POST.";
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return Some(problem_with(status, detail, ALLOW, "POST"));
        }
        if request.version() < Version::HTTP_11 {
            let detail = "With HTTP/1.0, an answer that was cut off looks complete: use HTTP/1.1 (with nginx, \
                          set proxy_http_version 1.1).";
            return Some(problem(StatusCode::HTTP_VERSION_NOT_SUPPORTED, detail));
        }
        let mut codings = request.headers().get_all(CONTENT_ENCODING).iter();
        if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let detail = "A content-encoding is not supported for the items of a batch: send the items without \
                          one.";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Some(problem_with(status, detail, ACCEPT_ENCODING, "identity"));
        }
        let (announced, spool) = (request.body().size_hint().lower(), self.limits.spool);
        (announced > spool).then(|| {
            let spool = Size(spool);
            let detail = format!(
                "The items have {announced} bytes, which is more than the {spool} that this node stores \
                 (batch.spool): send several batches, stream the items without a content-length, or \
                 use a session."
            );
            problem(StatusCode::PAYLOAD_TOO_LARGE, &detail)
        })
    }
}

/// Has hyper send `100 Continue` to a client that waits for it. hyper does so when the body is polled, but not
/// once the answer has begun; and a client that sees a status first sends no body, or sends it late. Returns
/// the first frame of the body if it has come already.
async fn send_continue(body: &mut Incoming) -> Option<Read> {
    let mut body = Pin::new(body);
    let first = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
        Poll::Ready(frame) => Poll::Ready(Some(frame)),
        Poll::Pending => Poll::Ready(None),
    });
    let first = first.await;
    // The connection sends `100 Continue` before it asks for an answer.
    tokio::task::yield_now().await;
    first
}

/// Returns true if items have been read that have no outcome yet.
fn is_busy(run: &Handle) -> bool {
    let progress = run.progress();
    progress.done < progress.read
}

/// One batch over HTTP.
struct Exchange {
    to: mpsc::Sender<Option<Bytes>>,
    spool: Arc<Spool>,
    /// Longest time for which a client may neither send nor take anything.
    idle: Duration,
    /// Set when the client has taken a piece; cleared by each check.
    has_taken: AtomicBool,
    /// Set when the client has sent bytes after its items were complete; cleared by each check.
    has_sent: AtomicBool,
}

impl Exchange {
    /// Runs the batch until the answer has ended, or its client is gone.
    async fn run(self, lines: Lines, first: Option<Read>, body: Incoming) {
        let mut reading = pin!(self.read(first, body, lines.handle()));
        let mut writing = pin!(self.write(lines));
        let read = tokio::select! {
            biased;
            written = &mut writing => match written {
                true => false,
                false => return,
            },
            complete = &mut reading => match complete {
                true => true,
                false => return,
            },
        };
        if read {
            if !writing.await {
                return;
            }
        } else {
            // If the connection closed while the client still sends, the client would lose the part of
            // the answer that it has not read.
            loop {
                match timeout(LINGER, &mut reading).await {
                    Ok(true) => break,
                    Ok(false) => return,
                    Err(_) if self.has_sent.swap(false, Ordering::Relaxed) => {}
                    Err(_) => break,
                }
            }
        }
        self.send(None).await;
    }

    /// Sends the lines of the outcomes. Returns false if the client is gone.
    async fn write(&self, mut lines: Lines) -> bool {
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

    /// Returns false if the client does not take the piece in time.
    async fn send(&self, piece: Option<Bytes>) -> bool {
        let sent = timeout(self.idle, self.to.send(piece)).await;
        self.has_taken.store(true, Ordering::Relaxed);
        match sent {
            Ok(sent) => sent.is_ok(),
            Err(_) => {
                tracing::debug!(
                    "a batch was cut off: its client took nothing for {:?}",
                    self.idle
                );
                false
            }
        }
    }

    /// Reads the request to its end, and the items into the spool. Returns false if the client is gone.
    async fn read(&self, mut first: Option<Read>, mut body: Incoming, run: Handle) -> bool {
        let end = loop {
            let frame = match first.take() {
                Some(first) => Ok(first),
                None => timeout(self.idle, body.frame()).await,
            };
            match frame {
                // The client may wait for an outcome, which can take long, before it sends the next item.
                Err(_) if self.has_taken.swap(false, Ordering::Relaxed) || is_busy(&run) => {}
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
        // A client that reads only after it has sent everything must be able to send everything.
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return false;
            }
            self.has_sent.store(true, Ordering::Relaxed);
        }
        true
    }

    fn too_quiet(&self) -> FetchError {
        let detail = format!(
            "All items have been answered, and no more came for {:?} (batch.idle-timeout): send the \
             remaining items as another batch, or send blank lines while there are none.",
            self.idle
        );
        FetchError::new(ErrorName::ConnectionReadTimeout, detail)
    }
}
