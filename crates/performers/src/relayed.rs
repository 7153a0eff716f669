//! Performs the fetches of a batch through relays. One client has sockets to all of them, and the batch's
//! schedule stays the only one.
//!
//! The client gives each fetch to the socket with the fewest fetches in flight, so a relay gets work as fast as
//! it completes work. A relay that was lost is used again when it returns. Fetches that a lost relay has not
//! answered are sent again from here, where that does no harm. Such a resend is a request of its own, in the
//! schedule and in the dispatch log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fetchway_batch::{Handover, Performer, Request, Response};
use fetchway_client::{
    By, CertificateDer, Client, Encoding, Error, Failover, FinalUrl, Options, RelayWatch,
};
use fetchway_policy::{ErrorName, FetchError, retry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

/// Number of sockets to each relay. By default one has room for a thousand fetches at once.
const SOCKETS: usize = 4;
/// Time for which a relay may be lost before its fetches go to others.
const RESUME_WITHIN: Duration = Duration::from_secs(2);
/// Time for which a fetch waits while no relay can be reached.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a body that are read without a reservation.
const SMALL: usize = 64 << 10;
/// Maximum number of relays that may be lost with one try of a fetch before the try fails.
const MAX_SENDS: u32 = 5;

/// Configuration of a [`Relayed`] performer.
#[derive(Clone, Debug)]
pub struct RelayedConfig {
    /// URLs of the relays.
    pub relays: Vec<String>,
    /// Token of the relays.
    pub token: Option<String>,
    /// Certificates that are trusted in addition to the public roots.
    pub roots: Vec<CertificateDer<'static>>,
    /// Maximum number of fetches in flight.
    pub concurrency: usize,
    /// Longest time of one try.
    pub timeout: Option<Duration>,
    /// Maximum number of bytes of one response body.
    pub cap: usize,
    /// Bytes of large response bodies in memory.
    pub budget: usize,
    /// Returns the text of an error for the user of this program, with the program's own flags as remedies.
    pub explain: fn(&Error) -> String,
}

/// A performer whose fetches are sent through relays.
#[derive(Debug)]
pub struct Relayed {
    handle: RelayedHandle,
    config: RelayedConfig,
    /// Each body larger than [`SMALL`] takes a permit: room for the largest body, so that no body waits
    /// half-read for room.
    large: Arc<Semaphore>,
}

/// A handle of a [`Relayed`] performer. Clones share the performer's client.
#[derive(Clone, Debug)]
pub struct RelayedHandle {
    client: Client,
    stopped: Arc<AtomicBool>,
}

impl RelayedHandle {
    /// Gives no more fetches to relays. Fetches that a relay has are finished; others end at once.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        // The close waits for the fetches in flight, and so does the run.
        tokio::spawn(self.client.clone().close(Duration::MAX));
    }

    /// Watches the connections to the relays.
    #[must_use]
    pub fn watch(&self) -> RelayWatch {
        self.client.watch()
    }
}

impl Relayed {
    /// Connects to at least one of the relays.
    ///
    /// # Errors
    /// The configuration is invalid, or no relay can be used.
    pub async fn connect(config: RelayedConfig) -> Result<Self, Error> {
        let mut builder = Client::builder()
            .relays(&config.relays)
            .sockets(SOCKETS)
            .encoding(Encoding::Binary)
            .resume_within(RESUME_WITHIN)
            .failover(Failover::Never)
            // Bodies that wait for room must not use up the window of those that have it.
            .windows(
                (config.concurrency * SMALL).max(1 << 20) as u64,
                SMALL as u64,
            )
            .queue(config.concurrency, PATIENCE);
        if let Some(token) = &config.token {
            builder = builder.token(token);
        }
        for root in &config.roots {
            builder = builder.root_certificate(root.clone());
        }
        let client = builder.build()?;
        client.connect().await?;
        let handle = RelayedHandle {
            client,
            stopped: Arc::default(),
        };
        let large = (config.budget / config.cap.max(1)).max(1);
        Ok(Self {
            handle,
            config,
            large: Arc::new(Semaphore::new(large)),
        })
    }

    /// Returns a handle of the performer.
    #[must_use]
    pub fn handle(&self) -> RelayedHandle {
        self.handle.clone()
    }

    fn options(&self, request: &Request) -> Options {
        let mut options = Options::default()
            .redirect(request.redirect)
            .decode(request.decode)
            .timeouts(request.timeouts.within(self.config.timeout));
        if let Some(lane) = &request.lane {
            options = options.lane(lane);
        }
        options
    }

    /// Sends a request once, or not at all if no relay takes it.
    async fn send(
        &self,
        request: &Request,
        handover: &Handover<'_>,
    ) -> Result<(Response, Hold), Failure> {
        let outgoing = http::Request::builder()
            .method(request.method.clone())
            .uri(request.url.as_str())
            .body(http_body_util::Full::new(request.body.clone()));
        let mut outgoing = outgoing.map_err(|error| {
            let detail = format!("The URL cannot be sent to a relay ({error}).");
            Failure::Other(FetchError::new(ErrorName::InvalidRequest, detail))
        })?;
        outgoing.headers_mut().clone_from(&request.headers);
        while let Some(at) = handover.pass() {
            tokio::time::sleep_until(at).await;
        }
        let client = &self.handle.client;
        let fetch = client.fetch_with(outgoing, self.options(request));
        let response = fetch.await.map_err(|error| self.failure(&error))?;
        handover.answered();
        let url = FinalUrl::of(&response).and_then(|url| Url::parse(url).ok());
        let (head, body) = response.into_parts();
        let (body, hold) = self.read(body).await?;
        let response = Response {
            url: url.unwrap_or_else(|| request.url.clone()),
            status: head.status,
            headers: head.headers,
            body,
        };
        Ok((response, hold))
    }

    async fn read(&self, mut body: fetchway_client::Body) -> Result<(Bytes, Hold), Failure> {
        let failed = |error| self.failure(&error);
        let Some(first) = body.chunk().await.map_err(failed)? else {
            return Ok((Bytes::new(), None));
        };
        let (mut whole, mut hold) = (BytesMut::new(), None);
        while let Some(piece) = body.chunk().await.map_err(failed)? {
            if whole.is_empty() {
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&piece);
            if whole.len() > self.config.cap {
                let detail = format!(
                    "The response body has more than {} bytes, the response-cap of the lane default: \
                     raise that, or ask for less.",
                    self.config.cap
                );
                let error = FetchError::new(ErrorName::HttpResponseBodySize, detail);
                return Err(Failure::Other(error));
            }
            if whole.len() > SMALL && hold.is_none() {
                hold = Arc::clone(&self.large).acquire_owned().await.ok();
            }
        }
        let whole = if whole.is_empty() {
            first
        } else {
            whole.freeze()
        };
        Ok((whole, hold))
    }

    fn failure(&self, error: &Error) -> Failure {
        let failed = FetchError::new(error.name, (self.config.explain)(error));
        match (error.by, error.name) {
            (By::Client, ErrorName::OutcomeUnknown) => Failure::Lost(failed),
            _ => Failure::Other(failed),
        }
    }
}

/// Room for a large body.
type Hold = Option<OwnedSemaphorePermit>;

impl Performer for Relayed {
    type Hold = Hold;

    async fn perform(
        &self,
        request: &Request,
        handover: &Handover<'_>,
    ) -> Result<(Response, Hold), FetchError> {
        let is_repeatable = retry::is_repeatable(&request.method, &request.headers);
        let mut first_loss = None;
        for _ in 0..MAX_SENDS {
            if self.handle.stopped.load(Ordering::Acquire) {
                let detail = "The run was stopped before the fetch was given to a relay.";
                return Err(FetchError::new(ErrorName::Cancelled, detail));
            }
            match self.send(request, handover).await {
                Ok(performed) => return Ok(performed),
                Err(Failure::Lost(error)) if retry::may_resend(false, is_repeatable) => {
                    first_loss.get_or_insert(error);
                }
                Err(Failure::Lost(error) | Failure::Other(error)) => {
                    return Err(with_loss(first_loss, error));
                }
            }
        }
        let detail = "Every relay that got the fetch was lost.";
        let none = FetchError::new(ErrorName::OutcomeUnknown, detail);
        Err(first_loss.unwrap_or(none))
    }
}

/// The failure of one send.
enum Failure {
    /// The relay was lost with the request.
    Lost(FetchError),
    /// Any other failure.
    Other(FetchError),
}

/// Returns the error of a fetch. After a loss, the loss counts, because the error of another try does not tell
/// what the first send did. A cancelled fetch has not failed: it is performed when the run is resumed.
fn with_loss(loss: Option<FetchError>, error: FetchError) -> FetchError {
    let Some(loss) = loss.filter(|_| error.name != ErrorName::Cancelled) else {
        return error;
    };
    let detail = format!(
        "{} Another try failed too ({}: {}).",
        loss.detail, error.name, error.detail
    );
    FetchError::new(loss.name, detail)
}
