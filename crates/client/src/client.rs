//! The client: a fetch from its request to its response, and where it goes when its relay is lost.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use fetchway_policy::{ErrorName, FetchError};
use fetchway_wire::v1::ResponseHead;
use http::{Request, Response};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::BoxError;
use crate::body::Body;
use crate::builder::{Builder, Settings};
use crate::choice::Opened;
use crate::exchange::{ask, exchange};
use crate::link::{Failure, Link, Target};
use crate::options::FinalUrl;
use crate::queue::Queue;
use crate::request::Job;
use crate::upload::{Source, Upload};

/// Streams that one fetch may be given, one after the other, before it is given up.
const MAX_STREAMS: u32 = 5;

/// A client of one or many relays. Clones are one and the same.
///
/// With the last clone, sockets are closed as their last fetches end.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

/// What the clones of a client share. `choice` is how a fetch gets hold of a stream.
pub(crate) struct Inner {
    pub(crate) links: Vec<Arc<Link>>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) settings: Arc<Settings>,
    /// Each link's task holds a receiver.
    pub(crate) alive: watch::Sender<()>,
    pub(crate) closed: AtomicBool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({} sockets)", self.inner.links.len())
    }
}

impl Client {
    /// Sets up a client.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(relays: &[Arc<Target>], sockets: usize, settings: Arc<Settings>) -> Self {
        let queue = Arc::new(Queue::new(settings.queue));
        // The first socket of each relay, then the second of each.
        let links = (0..sockets).flat_map(|_| relays.iter().enumerate());
        let links = links.map(|(relay, target)| {
            let (settings, queue) = (Arc::clone(&settings), Arc::clone(&queue));
            Link::new(relay, Arc::clone(target), settings, queue)
        });
        Self {
            inner: Arc::new(Inner {
                links: links.collect(),
                queue: Arc::clone(&queue),
                alive: watch::Sender::new(()),
                closed: AtomicBool::new(false),
                settings,
            }),
        }
    }

    /// Opens a socket to each relay now, instead of with the first fetch. Returns when one is open.
    ///
    /// # Errors
    /// Why the last of the relays could not be reached, if none can be; `queue_full` if more fetches
    /// are waiting than may be.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(&self) -> Result<(), FetchError> {
        self.inner.connect().await
    }

    /// Performs a fetch: the response, as soon as its head has come.
    ///
    /// The request's URI is absolute. [`Options`](crate::Options) and [`FinalUrl`] say what goes by
    /// the extensions of request and response. Dropping the future, or the body that it gives,
    /// cancels the fetch. The request's body goes on being sent while the response's is read.
    ///
    /// # Errors
    /// By name: what the relay says of the fetch; `queue_full`, or `queue_timeout` if no stream
    /// became free in time; why no relay could be reached in time; `outcome_unknown` if the relay
    /// was lost with it; `invalid_request` or `limit_exceeded` for a request that no relay would
    /// take; `cancelled` if the request's body failed.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn fetch<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Body>, FetchError>> + Send + use<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let inner = Arc::clone(&self.inner);
        async move { inner.fetch(request).await }
    }

    /// Closes every socket when its last fetch has ended, waiting for `grace` at most. Returns whether
    /// all are closed. New fetches of other clones are refused from now on.
    pub async fn close(self, grace: Duration) -> bool {
        self.inner.close();
        timeout(grace, self.inner.alive.closed()).await.is_ok()
    }
}

impl Inner {
    async fn fetch<B>(&self, request: Request<B>) -> Result<Response<Body>, FetchError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let mut body = Some(body);
        let mut upload = poll_fn(|cx| Poll::Ready(body.take().map(|body| Upload::new(body, cx))))
            .await
            .transpose()?
            .ok_or_else(|| FetchError::new(ErrorName::ProxyInternalError, "There is no body."))?;
        let length = match upload.source() {
            Source::None => None,
            Source::Whole(_) | Source::Streamed => Some(upload.length()),
        };
        let job = Job::new(parts, self.settings.failover, length)?;
        let mut avoid = None;
        let mut streams = 0;
        loop {
            let (relay, opened) = self.acquire(&job, upload.source(), avoid).await?;
            let answered = match opened {
                Opened::Stream(stream) => exchange(stream, &mut upload).await,
                Opened::Answer(pending) => ask(pending).await,
                Opened::Whole => {
                    poll_fn(|cx| upload.poll_whole(cx)).await?;
                    continue;
                }
                Opened::Refused(error) => return Err(error),
            };
            let failure = match answered {
                Ok((head, body)) => {
                    upload.finish();
                    return Ok(response(*head, body));
                }
                Err(failure) => failure,
            };
            let Failure::Lost { sent, .. } = &failure else {
                return Err(failure.into_error());
            };
            streams += 1;
            let may = (!sent || job.repeatable) && upload.again();
            if !may || streams >= MAX_STREAMS {
                return Err(failure.into_error());
            }
            avoid = Some(relay);
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.links.iter().for_each(|link| link.close());
        self.queue.relay_changed();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

fn response(head: ResponseHead, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields;
    if !head.url.is_empty() {
        response.extensions_mut().insert(FinalUrl(head.url));
    }
    response
}
