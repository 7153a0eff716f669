//! Fetches sent through relays: one client of all of them, one schedule, which is the run's.
//!
//! The client gives each fetch to the socket that has least under way, so a relay gets work as fast as
//! it ends it, and takes a relay back when it returns. What a lost relay had not answered is sent again
//! from here, where that does no harm: it is a request of its own, in the schedule and in the log.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use bytes::{Bytes, BytesMut};
use fetchway_batch::{Handover, Performer, Request, Response};
use fetchway_client::{By, CertificateDer, Client, Encoding, Error, Failover, FinalUrl, Options};
use fetchway_policy::{ErrorName, FetchError, retry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::args::Args;
use super::lookout::{Lookout, in_flags};

/// Sockets to each relay: one has room for a thousand fetches at once by default.
const SOCKETS: usize = 4;
/// How long a relay may be gone before its fetches go elsewhere.
const RESUME_WITHIN: Duration = Duration::from_secs(2);
/// How long a fetch may wait while no relay can be reached at all.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a body that are read without asking for room, and that may be here beyond that unread.
const SMALL: usize = 64 << 10;

/// Relays that one try of a fetch may be lost with, before it is given up.
const MAX_SENDS: u32 = 5;

/// Refuses flags that a relay would not hear of.
pub(super) fn check(args: &Args) -> anyhow::Result<()> {
    let guards = |set: &String| set.trim_start().starts_with("guard.");
    if args.via.is_empty() || (args.allow_net.is_empty() && !args.set.iter().any(guards)) {
        return Ok(());
    }
    bail!(
        "with --via the relays' guards hold, and this machine's looks at nothing: leave out --allow-net \
         and --set guard.…, and give them to the relays"
    );
}

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
    lookout: Lookout,
    timeout: Option<Duration>,
    cap: usize,
    /// A body beyond [`SMALL`] takes one: room for all that it may grow to, so that none waits half-read
    /// for another.
    large: Arc<Semaphore>,
}

impl Relays {
    /// Connects to one of the relays at least.
    pub(super) async fn connect(way: &Way<'_>) -> anyhow::Result<(Self, Lookout)> {
        let mut builder = Client::builder()
            .relays(way.relays)
            .sockets(SOCKETS)
            .encoding(Encoding::Binary)
            .resume_within(RESUME_WITHIN)
            .failover(Failover::Never)
            // Bodies that wait for room must not use up what those that have it need.
            .windows((way.concurrency * SMALL).max(1 << 20) as u64, SMALL as u64)
            .queue(way.concurrency, PATIENCE);
        if let Some(token) = way.token {
            builder = builder.token(token);
        }
        for root in way.roots {
            builder = builder.root_certificate(root.clone());
        }
        let unusable = |error: Error| {
            let relays = way.relays.join(", ");
            anyhow!("no relay at {relays} can be used: {}", in_flags(&error))
        };
        let client = builder.build().map_err(unusable)?;
        client.connect().await.map_err(unusable)?;
        let lookout = Lookout::new(client.clone());
        let relays = Self {
            client,
            lookout: lookout.clone(),
            timeout: way.timeout,
            cap: way.cap,
            large: Arc::new(Semaphore::new((way.budget / way.cap.max(1)).max(1))),
        };
        Ok((relays, lookout))
    }

    fn options(&self, request: &Request) -> Options {
        let mut options = Options::default()
            .redirect(request.redirect)
            .decode(request.decode)
            .timeouts(request.timeouts.within(self.timeout));
        if let Some(lane) = &request.lane {
            options = options.lane(lane);
        }
        options
    }

    /// Sends it once, or not at all if no relay takes it.
    async fn once(
        &self,
        request: &Request,
        handover: &Handover<'_>,
    ) -> Result<(Response, Hold), Failed> {
        let outgoing = http::Request::builder()
            .method(request.method.clone())
            .uri(request.url.as_str())
            .body(http_body_util::Full::new(request.body.clone()));
        let mut outgoing = outgoing.map_err(|error| {
            let detail = format!("The URL cannot be sent to a relay ({error}).");
            Failed::Otherwise(FetchError::new(ErrorName::InvalidRequest, detail))
        })?;
        outgoing.headers_mut().clone_from(&request.headers);
        while let Some(at) = handover.pass() {
            tokio::time::sleep_until(at).await;
        }
        let fetch = self.client.fetch_with(outgoing, self.options(request));
        let response = fetch.await?;
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

    async fn read(&self, mut body: fetchway_client::Body) -> Result<(Bytes, Hold), Failed> {
        let Some(first) = body.chunk().await? else {
            return Ok((Bytes::new(), None));
        };
        let (mut whole, mut room) = (BytesMut::new(), None);
        while let Some(piece) = body.chunk().await? {
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
                let error = FetchError::new(ErrorName::HttpResponseBodySize, detail);
                return Err(Failed::Otherwise(error));
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

/// Room for a large body.
type Hold = Option<OwnedSemaphorePermit>;

impl Performer for Relays {
    type Hold = Hold;

    async fn perform(
        &self,
        request: &Request,
        handover: &Handover<'_>,
    ) -> Result<(Response, Hold), FetchError> {
        let may = retry::is_repeatable(&request.method, &request.headers);
        let mut first_loss = None;
        for _ in 0..MAX_SENDS {
            if self.lookout.is_stopped() {
                let detail = "The run was stopped before a relay had the fetch.";
                return Err(FetchError::new(ErrorName::Cancelled, detail));
            }
            match self.once(request, handover).await {
                Ok(performed) => return Ok(performed),
                Err(Failed::Lost(error)) if may => {
                    first_loss.get_or_insert(error);
                }
                Err(Failed::Lost(error) | Failed::Otherwise(error)) => {
                    return Err(after(first_loss, error));
                }
            }
        }
        let detail = "All relays that it was given to were lost.";
        let none = FetchError::new(ErrorName::OutcomeUnknown, detail);
        Err(first_loss.unwrap_or(none))
    }
}

/// How a fetch came to nothing.
enum Failed {
    /// The relay was lost with it.
    Lost(FetchError),
    Otherwise(FetchError),
}

impl From<Error> for Failed {
    /// By its name, whoever says it.
    fn from(error: Error) -> Self {
        let detail = match (error.by, error.name) {
            (By::Client, _) => in_flags(&error).into(),
            (By::Relay, ErrorName::DestinationIpProhibited | ErrorName::HttpRequestDenied) => {
                format!(
                    "{} (so says the relay: its configuration holds, and no flag of this command)",
                    error.detail
                )
                .into()
            }
            _ => error.detail,
        };
        let failed = FetchError::new(error.name, detail);
        match (error.by, error.name) {
            (By::Client, ErrorName::OutcomeUnknown) => Self::Lost(failed),
            _ => Self::Otherwise(failed),
        }
    }
}

/// What another try met with says nothing of the one that was lost. Only a run that is stopped has not
/// failed: it will be made when that goes on.
fn after(lost: Option<FetchError>, error: FetchError) -> FetchError {
    let Some(lost) = lost.filter(|_| error.name != ErrorName::Cancelled) else {
        return error;
    };
    let detail = format!(
        "{} Another try came to nothing ({}: {}).",
        lost.detail, error.name, error.detail
    );
    FetchError::new(lost.name, detail)
}
