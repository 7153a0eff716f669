//! Fetches sent through relays: one client of all of them, one schedule, which is the run's.
//!
//! The client gives each fetch to the socket that has least under way, so a relay gets work as fast as
//! it ends it. It sends again what a lost relay had not answered, where that does no harm, and takes the
//! relay back when it returns.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use fetchway_batch::{Handover, Performer, Request, Response};
use fetchway_client::{CertificateDer, Client, Encoding, Error, FinalUrl, Options};
use fetchway_policy::{ErrorName, FetchError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

/// Sockets to each relay: one has room for a thousand fetches at once by default.
const SOCKETS: usize = 4;
/// How long a relay may be gone before its fetches go elsewhere.
const RESUME_WITHIN: Duration = Duration::from_secs(2);
/// How long a fetch may wait while no relay can be reached at all.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a body that are read without asking for room, and that may be here beyond that unread.
const SMALL: usize = 64 << 10;

/// How to get at the relays.
pub(super) struct Way<'a> {
    pub(super) relays: &'a [String],
    pub(super) token: Option<&'a str>,
    pub(super) roots: &'a [CertificateDer<'static>],
    pub(super) concurrency: usize,
    /// The most that a fetch may take in all.
    pub(super) timeout: Option<Duration>,
    /// Bytes of one body at most.
    pub(super) cap: usize,
    /// Bytes of large bodies in memory.
    pub(super) budget: usize,
}

/// Performs fetches through relays.
pub(super) struct Relays {
    client: Client,
    timeout: Option<Duration>,
    cap: usize,
    /// A body beyond [`SMALL`] takes one: room for all that it may grow to, so that none waits half-read
    /// for another.
    large: Arc<Semaphore>,
}

impl Relays {
    /// Connects to one of the relays at least.
    pub(super) async fn connect(way: &Way<'_>) -> anyhow::Result<Self> {
        let mut builder = Client::builder()
            .relays(way.relays)
            .sockets(SOCKETS)
            .encoding(Encoding::Binary)
            .resume_within(RESUME_WITHIN)
            // Bodies that wait for room must not use up what those that have it need.
            .windows((way.concurrency * SMALL).max(1 << 20) as u64, SMALL as u64)
            .queue(way.concurrency, PATIENCE);
        if let Some(token) = way.token {
            builder = builder.token(token);
        }
        for root in way.roots {
            builder = builder.root_certificate(root.clone());
        }
        let client = builder.build()?;
        let connected = client.connect().await;
        connected.with_context(|| format!("no relay at {} can be used", way.relays.join(", ")))?;
        Ok(Self {
            client,
            timeout: way.timeout,
            cap: way.cap,
            large: Arc::new(Semaphore::new((way.budget / way.cap.max(1)).max(1))),
        })
    }

    fn options(&self, request: &Request) -> Options {
        let mut timeouts = request.timeouts;
        if let Some(most) = self.timeout {
            timeouts.total = Some(timeouts.total.map_or(most, |asked| asked.min(most)));
        }
        let mut options = Options::default()
            .redirect(request.redirect)
            .decode(request.decode)
            .timeouts(timeouts);
        if let Some(lane) = &request.lane {
            options = options.lane(lane);
        }
        options
    }

    async fn read(
        &self,
        mut body: fetchway_client::Body,
    ) -> Result<(Bytes, Option<OwnedSemaphorePermit>), FetchError> {
        let Some(first) = body.chunk().await.map_err(failed)? else {
            return Ok((Bytes::new(), None));
        };
        let (mut whole, mut room) = (BytesMut::new(), None);
        while let Some(piece) = body.chunk().await.map_err(failed)? {
            if whole.is_empty() {
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&piece);
            if whole.len() > self.cap {
                let detail = format!(
                    "The response body has more than {} bytes, the response-cap of the lane default: \
                     raise that, or ask for less.",
                    self.cap
                );
                return Err(FetchError::new(ErrorName::HttpResponseBodySize, detail));
            }
            if whole.len() > SMALL && room.is_none() {
                room = Arc::clone(&self.large).acquire_owned().await.ok();
            }
        }
        let whole = if whole.is_empty() {
            first
        } else {
            whole.freeze()
        };
        Ok((whole, room))
    }
}

impl Performer for Relays {
    type Hold = Option<OwnedSemaphorePermit>;

    async fn perform(
        &self,
        request: &Request,
        handover: &Handover<'_>,
    ) -> Result<(Response, Self::Hold), FetchError> {
        let outgoing = http::Request::builder()
            .method(request.method.clone())
            .uri(request.url.as_str())
            .body(http_body_util::Full::new(request.body.clone()));
        let mut outgoing = outgoing.map_err(|error| {
            let detail = format!("The URL cannot be sent to a relay ({error}).");
            FetchError::new(ErrorName::InvalidRequest, detail)
        })?;
        outgoing.headers_mut().clone_from(&request.headers);
        while let Some(at) = handover.pass() {
            tokio::time::sleep_until(at).await;
        }
        let fetch = self.client.fetch_with(outgoing, self.options(request));
        let response = fetch.await.map_err(failed)?;
        handover.answered();
        let url = FinalUrl::of(&response).and_then(|url| Url::parse(url).ok());
        let (head, body) = response.into_parts();
        let (body, room) = self.read(body).await?;
        let response = Response {
            url: url.unwrap_or_else(|| request.url.clone()),
            status: head.status,
            headers: head.headers,
            body,
        };
        Ok((response, room))
    }
}

/// By its name, whoever says it.
fn failed(error: Error) -> FetchError {
    FetchError::new(error.name, error.detail)
}
