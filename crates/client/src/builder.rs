//! How a client is set up: relays, credentials, clocks and bounds.

use std::sync::Arc;
use std::time::Duration;

use fetchway_policy::{ErrorName, FetchError, RetryPolicy};
use fetchway_wire::v1::Config;
use http::HeaderValue;
use rustls::pki_types::CertificateDer;

use crate::client::Client;
use crate::link::{Target, tls_config};
use crate::options::Failover;

/// The encodings that are offered to a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// The binary one if the relay has it, else JSON.
    #[default]
    Auto,
    /// JSON, even if the relay has the binary one: whole bodies, nothing resumes.
    Json,
}

/// Everything about a client but its relays.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) encoding: Encoding,
    pub(crate) windows: Config,
    pub(crate) connect_timeout: Duration,
    pub(crate) resume_within: Duration,
    pub(crate) backoff: RetryPolicy,
    pub(crate) ping_every: Duration,
    pub(crate) dead_after: Duration,
    pub(crate) queue: usize,
    pub(crate) queue_wait: Duration,
    pub(crate) failover: Failover,
}

/// Sets up a [`Client`]. Nothing is opened before it is needed.
pub struct Builder {
    relays: Vec<String>,
    sockets: usize,
    token: Option<String>,
    roots: Vec<CertificateDer<'static>>,
    settings: Settings,
}

impl std::fmt::Debug for Builder {
    /// Leaves the token out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut builder = f.debug_struct("Builder");
        builder.field("relays", &self.relays);
        builder.field("sockets", &self.sockets);
        builder.finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            relays: Vec::new(),
            sockets: 1,
            token: None,
            roots: Vec::new(),
            settings: Settings {
                authorization: None,
                encoding: Encoding::Auto,
                windows: Config::default(),
                connect_timeout: Duration::from_secs(10),
                resume_within: Duration::from_secs(30),
                backoff: RetryPolicy {
                    attempts: u32::MAX,
                    base: Duration::from_millis(100),
                    max: Duration::from_secs(10),
                },
                ping_every: Duration::from_secs(20),
                dead_after: Duration::from_secs(60),
                queue: 10_000,
                queue_wait: Duration::from_secs(30),
                failover: Failover::Idempotent,
            },
        }
    }
}

impl Builder {
    /// Adds a relay: a `ws://` or `wss://` URL. At least one is needed.
    #[must_use]
    pub fn relay(mut self, url: impl Into<String>) -> Self {
        self.relays.push(url.into());
        self
    }

    /// Adds several relays. Fetches go to the least loaded socket of all of them.
    #[must_use]
    pub fn relays<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Self {
        self.relays.extend(urls.into_iter().map(Into::into));
        self
    }

    /// Sockets to each relay, 1 to 64; 1 by default. Each is opened when those before it are in use.
    #[must_use]
    pub fn sockets(mut self, sockets: usize) -> Self {
        self.sockets = sockets;
        self
    }

    /// The credential: sent to every relay as `Authorization: Bearer …`.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Trusts a certificate authority beside the public ones, for `wss://`.
    #[must_use]
    pub fn root_certificate(mut self, certificate: CertificateDer<'static>) -> Self {
        self.roots.push(certificate);
        self
    }

    /// The encodings to offer; the binary one and JSON by default.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.settings.encoding = encoding;
        self
    }

    /// Bytes of all responses on one socket, and of one of them, that may be here unread; 16 MiB and
    /// 256 KiB by default, 64 KiB and 16 KiB at least. A body that is not read holds up itself at the
    /// second, and its neighbours only when many together reach the first.
    #[must_use]
    pub fn windows(mut self, session: u64, stream: u64) -> Self {
        self.settings.windows.session_window = session;
        self.settings.windows.stream_window = stream;
        self
    }

    /// The longest that a connection, TLS and both handshakes with it, may take; 10 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.settings.connect_timeout = time;
        self
    }

    /// How long to try to go on with a session that lost its socket, 30 s by default; never longer
    /// than the relay keeps it. Zero gives up at once.
    #[must_use]
    pub fn resume_within(mut self, time: Duration) -> Self {
        self.settings.resume_within = time;
        self
    }

    /// The pause before another try to reach a relay: random between zero and `base`, doubled after
    /// each failure up to `max` (full jitter); 100 ms and 10 s by default.
    #[must_use]
    pub fn backoff(mut self, base: Duration, max: Duration) -> Self {
        (self.settings.backoff.base, self.settings.backoff.max) = (base, max);
        self
    }

    /// A silent relay is pinged after `ping_every` and given up after `dead_after`; 20 s and 60 s by
    /// default.
    #[must_use]
    pub fn liveness(mut self, ping_every: Duration, dead_after: Duration) -> Self {
        (self.settings.ping_every, self.settings.dead_after) = (ping_every, dead_after);
        self
    }

    /// Fetches that may wait for a socket or a free stream, and how long each may; 10,000 and 30 s by
    /// default. Beyond the first they fail with `queue_full`, beyond the second with `queue_timeout`,
    /// or with what keeps the relays from being reached.
    #[must_use]
    pub fn queue(mut self, fetches: usize, wait: Duration) -> Self {
        (self.settings.queue, self.settings.queue_wait) = (fetches, wait);
        self
    }

    /// What becomes of fetches whose relay is lost, unless their [`Options`](crate::Options) say it.
    #[must_use]
    pub fn failover(mut self, failover: Failover) -> Self {
        self.settings.failover = failover;
        self
    }

    /// The client.
    ///
    /// # Errors
    /// `invalid_request` for a relay's URL, a token or a number of sockets that cannot be;
    /// `proxy_configuration_error` for a certificate that cannot be used.
    pub fn build(self) -> Result<Client, FetchError> {
        let Self {
            relays,
            sockets,
            token,
            roots,
            mut settings,
        } = self;
        if relays.is_empty() {
            return Err(invalid("The client has no relay: add the URL of one."));
        }
        if !(1..=64).contains(&sockets) {
            return Err(invalid("A relay has 1 to 64 sockets: ask for as many."));
        }
        settings.authorization = token.map(|token| authorization(&token)).transpose()?;
        let mut targets = Vec::with_capacity(relays.len());
        let mut tls = None;
        for url in &relays {
            let mut target = Target::parse(url)?;
            if target.is_tls() {
                if tls.is_none() {
                    tls = Some(tls_config(&roots)?);
                }
                target.tls.clone_from(&tls);
            }
            targets.push(Arc::new(target));
        }
        Ok(Client::new(&targets, sockets, Arc::new(settings)))
    }
}

fn authorization(token: &str) -> Result<HeaderValue, FetchError> {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid(
            "The token cannot be sent: it must be of visible ASCII characters, without spaces.",
        ));
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| invalid("The token cannot be sent in a header: check it."))?;
    value.set_sensitive(true);
    Ok(value)
}

fn invalid(detail: &'static str) -> FetchError {
    FetchError::new(ErrorName::InvalidRequest, detail)
}
