//! The client: a fetch from its request to its response, and where it goes when its relay is lost.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use fetchway_policy::ErrorName;
use fetchway_wire::v1::ResponseHead;
use futures_core::Stream;
use http::{Request, Response};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::BoxError;
use crate::batch::{Batch, BatchItem, BatchOptions, Lines};
use crate::body::Body;
use crate::builder::{Builder, Settings};
use crate::choice::Opened;
use crate::error::Error;
use crate::exchange::{ask, exchange};
use crate::link::{Failure, Link, Target};
use crate::options::{FinalUrl, Options};
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
    pub(crate) inner: Arc<Inner>,
}

/// What the clones of a client share. `choice` is how a fetch gets hold of a stream.
pub(crate) struct Inner {
    pub(crate) links: Vec<Arc<Link>>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) settings: Arc<Settings>,
    /// Each link's task holds a receiver, and ends at once when `true` is sent.
    pub(crate) alive: watch::Sender<bool>,
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
                alive: watch::Sender::new(false),
                closed: AtomicBool::new(false),
                settings,
            }),
        }
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Opens a socket to each relay now, instead of with the first fetch. Returns when one is open.
    ///
    /// # Errors
    /// Why the last of the relays could not be reached, if none can be; `cancelled` if the client is
    /// closed.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(&self) -> Result<(), Error> {
        self.inner.connect().await
    }

    /// Performs a fetch: the response, as soon as its head has come.
    ///
    /// The request's URI is absolute. [`Options`] and [`FinalUrl`] say what goes by
    /// the extensions of request and response. Dropping the future, or the body that it gives,
    /// cancels the fetch. The request's body goes on being sent while the response's is read.
    ///
    /// Cancels are rationed, to what relays take of them: where thousands of fetches are dropped at
    /// once the first go out at once, and the others at about 90 a second. Until then the relay goes on
    /// with them, and what comes of them is dropped. Bodies that are not read may hold up their
    /// neighbours: see [`Body`].
    ///
    /// What is between two hops only, or the origin's connection's to say, is left out of the request
    /// without a word: `Host` (the URI says it), `Expect`, `Connection` and what it names, `Upgrade`,
    /// `Transfer-Encoding`, `Keep-Alive`, and those of proxies; `TE` is kept. `Content-Length` is the
    /// body's own where that is known.
    ///
    /// # Errors
    /// [`Error::by`] says whose they are. A relay's and an origin's: what the relay says of the fetch.
    /// The client's: `queue_full`, or `queue_timeout` if no stream became free in time; why no relay
    /// could be reached in time; `http_request_denied` where all refuse the credential;
    /// `outcome_unknown` if the relay was lost with it; `http_protocol_error` for an answer that cannot
    /// be read; `invalid_request` or `limit_exceeded` for a request that no relay would take;
    /// `cancelled` if the client was closed. The body's: `cancelled`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn fetch<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Body>, Error>> + Send + use<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let inner = Arc::clone(&self.inner);
        async move { inner.fetch(request).await }
    }

    /// The same with these options instead of those of the request's extensions.
    ///
    /// # Errors
    /// As of [`fetch`](Self::fetch).
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn fetch_with<B>(
        &self,
        mut request: Request<B>,
        options: Options,
    ) -> impl Future<Output = Result<Response<Body>, Error>> + Send + use<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        request.extensions_mut().insert(options);
        self.fetch(request)
    }

    /// Fetches a URL by GET, without a body, fields or options.
    ///
    /// # Errors
    /// As of [`fetch`](Self::fetch); `invalid_request` for what is no URL.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn get(
        &self,
        url: &str,
    ) -> impl Future<Output = Result<Response<Body>, Error>> + Send + use<> {
        let request = Request::get(url).body(Body::default()).map_err(|error| {
            let detail = format!("The URL cannot be asked for ({error}): check it.");
            Error::new(ErrorName::InvalidRequest, detail)
        });
        let inner = Arc::clone(&self.inner);
        async move { inner.fetch(request?).await }
    }

    /// Has a relay run `items` as one batch, and gives what became of each as it comes, by its place
    /// among the items ([`Outcome::index`](crate::Outcome::index)).
    ///
    /// The batch is one stream of a session: items are asked for as the relay takes them, and outcomes
    /// that are not taken hold it up. So a program that gives its items itself, as it were by a channel,
    /// must not wait with its outcomes until all items are given.
    ///
    /// ```
    /// use fetchway_client::{BatchItem, BatchOptions, Client};
    /// use futures_util::{StreamExt, stream};
    /// # use std::time::Duration;
    /// # use fetchway_test_origins::TestOrigin;
    /// # use fetchway_testkit::TestNode;
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (origin, node) = (TestOrigin::builder().start()?, TestNode::open(&[]));
    /// # let (relay, url) = (format!("ws://{}/", node.addr()), origin.url("/echo"));
    /// let client = Client::builder().relay(relay).build()?;
    ///
    /// let items = (0..100).map(|n| BatchItem::get(&format!("{url}?n={n}")));
    /// let items: Vec<BatchItem> = items.collect::<Result<_, _>>()?;
    /// let options = BatchOptions::default().rate(5_000, Duration::from_secs(1)).ordered();
    /// let mut outcomes = client.batch(options, stream::iter(items));
    /// while let Some(outcome) = outcomes.next().await {
    ///     let outcome = outcome?;
    ///     match outcome.result {
    ///         Ok(response) => println!("{}: {}", outcome.index, response.status()),
    ///         Err(error) => println!("{}: {error}", outcome.index),
    ///     }
    /// }
    /// # drop(client);
    /// # node.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// They come as the stream's last item. What [`fetch`](Self::fetch) fails with; `invalid_request`
    /// for options that the relay does not take, and where it speaks only JSON; `queue_full` if as many
    /// batches run as it allows; `destination_unavailable` if it shuts down, after the outcomes of what
    /// was in flight; `outcome_unknown` if it is lost, for the items without an outcome.
    ///
    /// # Panics
    /// When it is polled outside a tokio runtime.
    pub fn batch<S>(&self, options: BatchOptions, items: S) -> Batch
    where
        S: Stream<Item = BatchItem> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        Batch::new(async move { inner.batch(options.url(), Lines::new(items)).await })
    }

    /// Closes every socket when its last fetch has ended. Those that have not after `grace` are
    /// dropped, and what is under way on them fails with `outcome_unknown`. Returns whether that was
    /// not needed. Of this client's clones, fetches that wait and new ones fail with `cancelled` from now on.
    ///
    /// The runtime must live on until then. What was dropped, or left behind by a program that ended
    /// without this, goes on at the relay for as long as that keeps the session.
    pub async fn close(self, grace: Duration) -> bool {
        self.inner.close();
        let alive = &self.inner.alive;
        if timeout(grace, alive.closed()).await.is_ok() {
            return true;
        }
        alive.send_replace(true);
        alive.closed().await;
        false
    }
}

impl Inner {
    async fn fetch<B>(&self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let upload = begun(body).await?;
        let length = match upload.source() {
            Source::None => None,
            Source::Whole(_) | Source::Streamed => Some(upload.length()),
        };
        let job = Job::new(parts, self.settings.failover, length)?;
        self.job(&job, upload).await
    }

    async fn batch<B>(&self, url: String, items: B) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let upload = begun(items).await?;
        self.job(&Job::own(url), upload).await
    }

    async fn job<B>(&self, job: &Job, upload: Upload<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut unknown = None;
        let tried = self.tries(job, upload, &mut unknown).await;
        tried.map_err(|error| match unknown {
            // What another try met with says nothing of the one that was lost.
            Some(lost) => after(lost, &error),
            None => error,
        })
    }

    /// Tries one stream after the other. `unknown` tells of the first that was lost with the fetch.
    async fn tries<B>(
        &self,
        job: &Job,
        mut upload: Upload<B>,
        unknown: &mut Option<Error>,
    ) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut patience = self.settings.queue_wait;
        let mut avoid = None;
        let mut streams = 0;
        loop {
            let acquired = self.acquire(job, upload.source(), avoid, &mut patience);
            let (relay, opened) = acquired.await?;
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
            let Failure::Lost { sent, .. } = failure else {
                return Err(failure.into_error());
            };
            streams += 1;
            let may = (!sent || job.repeatable) && upload.again() && streams < MAX_STREAMS;
            let error = failure.into_error();
            if !may {
                return Err(error);
            }
            if sent {
                unknown.get_or_insert(error);
            }
            avoid = Some(relay);
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.links.iter().for_each(|link| link.close());
        self.queue.closed();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// A request's body, looked at without waiting for it.
async fn begun<B>(body: B) -> Result<Upload<B>, Error>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = Some(body);
    poll_fn(|cx| Poll::Ready(body.take().map(|body| Upload::new(body, cx))))
        .await
        .transpose()?
        .ok_or_else(|| Error::new(ErrorName::ProxyInternalError, "There is no body."))
}

/// A fetch that was lost, and sent again in vain.
fn after(mut lost: Error, error: &Error) -> Error {
    lost.detail = format!("{} Another try came to nothing ({error}).", lost.detail).into();
    lost
}

/// A response of this head.
pub(crate) fn response<B>(head: ResponseHead, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields;
    if !head.url.is_empty() {
        response.extensions_mut().insert(FinalUrl(head.url));
    }
    response
}
