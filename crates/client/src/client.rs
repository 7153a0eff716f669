//! The client: which link a fetch travels by, and where it goes when that is lost.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
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
use crate::exchange::{ask, exchange};
use crate::link::{Carrier, Failure, Link, Pending, Stream, Target};
use crate::options::FinalUrl;
use crate::queue::{Queue, enrol};
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

struct Inner {
    links: Vec<Arc<Link>>,
    queue: Arc<Queue>,
    settings: Arc<Settings>,
    /// Each link's task holds a receiver.
    alive: watch::Sender<()>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({} sockets)", self.inner.links.len())
    }
}

/// What a fetch got hold of.
enum Opened {
    Stream(Stream),
    Answer(Pending),
    /// A relay that wants the body whole: it is to be taken first.
    Whole,
    /// It can't be sent there at all.
    Refused(FetchError),
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
    /// all are closed. Fetches of other clones fail from now on.
    pub async fn close(self, grace: Duration) -> bool {
        self.inner.close();
        timeout(grace, self.inner.alive.closed()).await.is_ok()
    }
}

impl Inner {
    async fn connect(&self) -> Result<(), FetchError> {
        let _place = self.queue.enter()?;
        let first = || {
            self.links
                .iter()
                .enumerate()
                .filter(|(at, link)| *at == link.relay)
        };
        for (_, link) in first() {
            link.open(&self.alive.subscribe());
        }
        loop {
            let mut change = pin!(self.queue.change());
            enrol(change.as_mut());
            if first().any(|(_, link)| link.carrier().is_some()) {
                return Ok(());
            }
            let errors: Vec<FetchError> = first().filter_map(|(_, link)| link.error()).collect();
            if errors.len() == first().count() {
                return errors.into_iter().next_back().map_or(Ok(()), Err);
            }
            change.await;
        }
    }

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

    /// Opens a stream on the least loaded link, waiting for one if need be. Says at which relay.
    async fn acquire(
        &self,
        job: &Job,
        source: &Source,
        avoid: Option<usize>,
    ) -> Result<(usize, Opened), FetchError> {
        // Whoever waits goes first.
        if !self.queue.is_waiting() {
            let opened = poll_fn(|cx| Poll::Ready(self.try_open(job, source, avoid, cx.waker())));
            if let Some(opened) = opened.await {
                return Ok(opened);
            }
        }
        let place = self.queue.enter()?;
        let waiting = poll_fn(|cx| {
            if place.is_first(cx)
                && let Some(opened) = self.try_open(job, source, avoid, cx.waker())
            {
                return Poll::Ready(opened);
            }
            Poll::Pending
        });
        match timeout(self.settings.queue_wait, waiting).await {
            Ok(opened) => Ok(opened),
            Err(_) => Err(self.why_not()),
        }
    }

    fn try_open(
        &self,
        job: &Job,
        source: &Source,
        avoid: Option<usize>,
        waker: &Waker,
    ) -> Option<(usize, Opened)> {
        // Another fetch may take the room that was seen: then look again, at most once for each link.
        for _ in 0..self.links.len() {
            let open = self
                .links
                .iter()
                .filter_map(|link| Some((link, link.carrier()?)));
            let free = open.filter(|(_, carrier)| carrier.has_room());
            let least =
                free.min_by_key(|(link, carrier)| (avoid == Some(link.relay), carrier.load()));
            let Some((link, carrier)) = least else {
                break;
            };
            if carrier.load() > 0 {
                self.grow();
            }
            let opened = match (&carrier, source) {
                (Carrier::Line(line), _) => line.open(&job.head, source, waker).map(Opened::Stream),
                (Carrier::Text(_), Source::Streamed) => Some(Opened::Whole),
                (Carrier::Text(text), _) => {
                    let body: &[u8] = match source {
                        Source::Whole(body) => body,
                        _ => &[],
                    };
                    let asked = text.open(&job.head, body, waker);
                    asked.map(|asked| asked.map_or_else(Opened::Refused, Opened::Answer))
                }
            };
            if let Some(opened) = opened {
                return Some((link.relay, opened));
            }
        }
        self.grow();
        None
    }

    /// Every open socket is in use: opens another one. If none is open, one for each relay.
    fn grow(&self) {
        if self.links.iter().any(|link| link.carrier().is_some()) {
            if let Some(link) = self.links.iter().find(|link| link.is_idle()) {
                link.open(&self.alive.subscribe());
            }
            return;
        }
        for (at, link) in self.links.iter().enumerate() {
            let before = &self.links[..at];
            let has_one = before
                .iter()
                .any(|other| other.relay == link.relay && !other.is_idle());
            if !has_one {
                link.open(&self.alive.subscribe());
            }
        }
    }

    /// Why a fetch has waited in vain.
    fn why_not(&self) -> FetchError {
        let wait = self.settings.queue_wait;
        let open = self.links.iter().any(|link| link.carrier().is_some());
        if let (false, Some(error)) = (open, self.links.iter().find_map(|link| link.error())) {
            let detail = format!(
                "No relay could be reached within {wait:?}. {}",
                error.detail
            );
            return FetchError::new(error.name, detail);
        }
        let detail = format!(
            "No stream became free within {wait:?}: open more sockets, or ask for less at once."
        );
        FetchError::new(ErrorName::QueueTimeout, detail)
    }

    fn close(&self) {
        self.links.iter().for_each(|link| link.close());
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
