//! The client's public methods.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::{Request, Response};

use crate::BoxError;
use crate::batch::{Batch, BatchItem, BatchOptions, ItemLines};
use crate::body::Body;
use crate::error::Error;
use crate::fetch::{ask_relay, fetch};
use crate::options::Options;
use crate::relays::Relays;

/// A client of one or more relays. Clones share their sockets.
///
/// When the last clone is dropped, each socket is closed after its last fetch.
#[derive(Clone)]
pub struct Client {
    pub(crate) relays: Arc<Relays>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({} sockets)", self.relays.links.len())
    }
}

impl Client {
    /// Opens a socket to each relay now, instead of with the first fetch. Returns when the first is open.
    ///
    /// # Errors
    /// Why the relays could not be reached, if none can be; `cancelled` if the client is closed.
    ///
    /// # Panics
    /// Panics outside a tokio runtime.
    pub async fn connect(&self) -> Result<(), Error> {
        self.relays.connect().await
    }

    /// Performs a fetch. Returns the response as soon as its head has arrived.
    ///
    /// The request's URI must be absolute. [`Options`] are passed as an extension of the request, and
    /// [`FinalUrl`](crate::FinalUrl) is an extension of the response. Dropping the future or the response's
    /// body cancels the fetch. The request's body continues to be sent while the response's body is read.
    ///
    /// Cancels are limited to what relays accept: 900 are sent at once, then about 90 a second. Until its
    /// cancel is sent, the relay continues a dropped fetch, and its response is discarded. Unread response
    /// bodies may pause other fetches on the same socket: see [`Body`].
    ///
    /// Header fields that concern only one hop, or that the relay sets itself, are removed from the
    /// request: `Host` (taken from the URI), `Expect`, `Connection` and the fields that it names,
    /// `Upgrade`, `Transfer-Encoding`, `Keep-Alive`, and proxy fields (RFC 9110 section 7.6.1). `TE` is
    /// kept. `Content-Length` is set to the body's length if that is known.
    ///
    /// # Errors
    /// [`Error::by`] says who reports the failure.
    /// - [`By::Relay`](crate::By::Relay): the failure that the relay reports for the fetch.
    /// - [`By::Client`](crate::By::Client): `queue_full` or `queue_timeout` if no stream became free; why no
    ///   relay could be reached in time; `http_request_denied` if all relays reject the credential;
    ///   `outcome_unknown` if the relay was lost after the fetch was sent; `http_protocol_error` for an
    ///   answer that cannot be read; `invalid_request` or `limit_exceeded` for a request that no relay would
    ///   accept; `cancelled` if the client is closed.
    /// - [`By::Body`](crate::By::Body): `cancelled` if the request's body failed.
    ///
    /// # Panics
    /// Panics when polled outside a tokio runtime.
    pub fn fetch<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Body>, Error>> + Send + use<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let relays = Arc::clone(&self.relays);
        async move { fetch(&relays, request).await }
    }

    /// Performs a fetch with these options, which replace those in the request's extensions.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch).
    ///
    /// # Panics
    /// Panics when polled outside a tokio runtime.
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

    /// Fetches a URL with GET and without a body, header fields or options.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch); `invalid_request` if `url` is not a valid URL.
    ///
    /// # Panics
    /// Panics when polled outside a tokio runtime.
    pub fn get(
        &self,
        url: &str,
    ) -> impl Future<Output = Result<Response<Body>, Error>> + Send + use<> {
        let request = Request::get(url).body(Body::default());
        let request = request.map_err(|error| Error::invalid_url(&error));
        let relays = Arc::clone(&self.relays);
        async move { fetch(&relays, request?).await }
    }

    /// Runs `items` as one batch at a relay. Returns the outcome of each item as it arrives; an outcome
    /// names its item by its index in the input ([`Outcome::index`](crate::Outcome::index)).
    ///
    /// The batch is one stream of a session: items are taken as the relay accepts them, and outcomes
    /// that are not read pause the batch. A program that produces items while the batch runs, for
    /// example through a channel, must therefore read outcomes at the same time.
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
    /// An error is the last item of the returned stream: the failures of [`fetch`](Self::fetch);
    /// `invalid_request` for options that the relay rejects, and if the relay supports JSON only;
    /// `queue_full` if as many batches run as the relay allows; `destination_unavailable` if the relay
    /// shuts down, after the outcomes of the items in flight; `outcome_unknown` if the relay is lost, for
    /// the items without an outcome.
    ///
    /// # Panics
    /// Panics when polled outside a tokio runtime.
    pub fn batch<S>(&self, options: BatchOptions, items: S) -> Batch
    where
        S: Stream<Item = BatchItem> + Send + 'static,
    {
        let relays = Arc::clone(&self.relays);
        let items = ItemLines::new(items);
        Batch::new(async move { ask_relay(&relays, options.url(), items).await })
    }

    /// Closes each socket after its last fetch. Sockets that are still open after `grace` are dropped, and
    /// fetches in flight on them fail with `outcome_unknown`. Returns true if no socket had to be dropped.
    /// Fetches of any clone that wait or begin after this call fail with `cancelled`.
    ///
    /// The runtime must run until this returns. Fetches that were dropped here, or left behind by a program
    /// that ended without this call, continue at the relay for as long as the relay keeps the session (a
    /// minute by default).
    pub async fn close(self, grace: Duration) -> bool {
        self.relays.close();
        self.relays.wait_closed(grace).await
    }
}
