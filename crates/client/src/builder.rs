//! How a client is set up: relays, credentials, clocks and bounds.

use std::sync::Arc;
use std::time::Duration;

use fetchway_policy::{ErrorName, RetryPolicy};
use fetchway_wire::v1::Config;
use fetchway_wire::v1::session::floor;
use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::client::Client;
use crate::error::Error;
use crate::link::{Target, tls_config};
use crate::options::Failover;

/// The encodings that are offered to a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// The binary one if the relay has it, else JSON. What is lost with JSON stands in
    /// [the crate's documentation](crate#over-json).
    #[default]
    Auto,
    /// The binary one; a relay that does not have it counts as one that can't be reached.
    Binary,
    /// JSON, even if the relay has the binary one.
    Json,
}

/// The longest clock: a year. What is longer would not be seen to end, and instants have an end too.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The shortest clock that is not a busy loop.
const SHORTEST: Duration = Duration::from_millis(1);

/// The widest window: nothing has so much memory.
const WIDEST: u64 = 1 << 40;

/// Everything about a client but its relays.
#[derive(Debug)]
pub(crate) struct Settings {
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
    /// Their URLs, and the tokens that are for one only.
    relays: Vec<(String, Option<String>)>,
    sockets: usize,
    token: Option<String>,
    roots: Vec<CertificateDer<'static>>,
    /// PEM that holds no certificate was given.
    bad_pem: bool,
    settings: Settings,
}

impl std::fmt::Debug for Builder {
    /// Leaves out the token, and the URLs: until they are looked at they may hold credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut builder = f.debug_struct("Builder");
        builder.field("relays", &self.relays.len());
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
            bad_pem: false,
            settings: Settings::default(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
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
        }
    }
}

impl Builder {
    /// Adds a relay: a `ws://` or `wss://` URL. At least one is needed.
    #[must_use]
    pub fn relay(mut self, url: impl Into<String>) -> Self {
        self.relays.push((url.into(), None));
        self
    }

    /// Adds a relay that has a token of its own, instead of [that of all](Self::token).
    #[must_use]
    pub fn relay_with_token(mut self, url: impl Into<String>, token: impl Into<String>) -> Self {
        self.relays.push((url.into(), Some(token.into())));
        self
    }

    /// Adds several relays. Fetches go to the least loaded socket of all of them.
    #[must_use]
    pub fn relays<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Self {
        let urls = urls.into_iter().map(Into::into);
        self.relays.extend(urls.map(|url| (url, None)));
        self
    }

    /// Sockets to each relay, 1 to 64; 1 by default. Each is opened when those before it are in use.
    #[must_use]
    pub fn sockets(mut self, sockets: usize) -> Self {
        self.sockets = sockets;
        self
    }

    /// The credential: sent as `Authorization: Bearer …` to every relay that has none of its own.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Trusts a certificate authority, given in DER form, beside the public ones, for `wss://`.
    #[must_use]
    pub fn root_certificate(mut self, certificate: CertificateDer<'static>) -> Self {
        self.roots.push(certificate);
        self
    }

    /// The same for all certificates of a PEM file; what else it holds is passed over.
    /// [`build`](Self::build) fails if it holds none, or a broken one.
    #[must_use]
    pub fn root_certificates_pem(mut self, pem: &[u8]) -> Self {
        let before = self.roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            match certificate {
                Ok(certificate) => self.roots.push(certificate),
                Err(_) => self.bad_pem = true,
            }
        }
        self.bad_pem |= self.roots.len() == before;
        self
    }

    /// The encodings to offer; the binary one and JSON by default.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.settings.encoding = encoding;
        self
    }

    /// Bytes of all responses on one socket, and of one of them, that may be here unread; 16 MiB and
    /// 256 KiB by default, 64 KiB and 16 KiB at least and 1 TiB at most.
    /// A body that is not read holds up itself at the second, and its neighbours only when many
    /// together reach the first. Over JSON there is only the first, and it counts whole answers.
    #[must_use]
    pub fn windows(mut self, session: u64, stream: u64) -> Self {
        self.settings.windows.session_window = session;
        self.settings.windows.stream_window = stream;
        self
    }

    /// The longest that a connection, TLS and both handshakes with it, may take; 10 s by default, 1 ms
    /// to a year.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.settings.connect_timeout = time;
        self
    }

    /// How long to try to go on with a session that lost its socket, 30 s by default; never longer
    /// than the relay keeps it. Zero gives up at once; a year is the most.
    #[must_use]
    pub fn resume_within(mut self, time: Duration) -> Self {
        self.settings.resume_within = time;
        self
    }

    /// The pause before another try to reach a relay: random between zero and `base`, doubled after
    /// each failure up to `max` (full jitter); 100 ms and 10 s by default, both 1 ms to a year.
    #[must_use]
    pub fn backoff(mut self, base: Duration, max: Duration) -> Self {
        (self.settings.backoff.base, self.settings.backoff.max) = (base, max);
        self
    }

    /// A silent relay is pinged after `ping_every` and given up after `dead_after`; 20 s and 60 s by
    /// default, both 1 ms to a year, the second the longer.
    #[must_use]
    pub fn liveness(mut self, ping_every: Duration, dead_after: Duration) -> Self {
        (self.settings.ping_every, self.settings.dead_after) = (ping_every, dead_after);
        self
    }

    /// Fetches that may wait for a socket or a free stream, and how long each may, all its tries
    /// together; 10,000 and 30 s by default. Beyond the first they fail with `queue_full`, beyond the
    /// second with `queue_timeout`, or with what keeps the relays from being reached. Where that can't
    /// heal by itself at any of them (the credential, the certificate, no relay at the URL) nothing
    /// waits: fetches fail at once.
    ///
    /// With room for none a fetch fails where it would wait, also for the first socket: then begin with
    /// [`Client::connect`].
    #[must_use]
    pub fn queue(mut self, fetches: usize, wait: Duration) -> Self {
        (self.settings.queue, self.settings.queue_wait) = (fetches, wait);
        self
    }

    /// What becomes of fetches whose relay is lost, unless their [`Options`](crate::Options) say it;
    /// [`Failover::Idempotent`] by default.
    #[must_use]
    pub fn failover(mut self, failover: Failover) -> Self {
        self.settings.failover = failover;
        self
    }

    /// The client.
    ///
    /// # Errors
    /// `invalid_request` for a relay's URL, a token, a number of sockets, a window or a clock that
    /// cannot be; `proxy_configuration_error` for a certificate that cannot be used.
    pub fn build(self) -> Result<Client, Error> {
        let Self {
            relays,
            sockets,
            token,
            roots,
            bad_pem,
            settings,
        } = self;
        if relays.is_empty() {
            return Err(invalid("The client has no relay: add the URL of one."));
        }
        if !(1..=64).contains(&sockets) {
            return Err(invalid("A relay has 1 to 64 sockets: ask for as many."));
        }
        check_clocks(&settings)?;
        check_windows(&settings.windows)?;
        if bad_pem {
            let detail =
                "A PEM file of root certificates holds none, or a broken one: name another.";
            return Err(Error::new(ErrorName::ProxyConfigurationError, detail));
        }
        let shared = token.map(|token| authorization(&token)).transpose()?;
        // Also where no relay has a use for it: a certificate that cannot be used is a mistake.
        let tls = tls_config(&roots)?;
        let mut targets = Vec::with_capacity(relays.len());
        for (at, (url, token)) in relays.iter().enumerate() {
            let called = match relays.len() {
                1 => "The relay's URL".to_owned(),
                many => format!("The URL of relay {} of {many}", at + 1),
            };
            let mut target = Target::parse(url, &called)?;
            target.tls = target.is_tls().then(|| Arc::clone(&tls));
            let own = token.as_deref().map(authorization).transpose()?;
            target.authorization = own.or_else(|| shared.clone());
            targets.push(Arc::new(target));
        }
        Ok(Client::new(&targets, sockets, Arc::new(settings)))
    }
}

fn check_windows(windows: &Config) -> Result<(), Error> {
    let session = (floor::SESSION_WINDOW..=WIDEST).contains(&windows.session_window);
    if session && (floor::STREAM_WINDOW..=WIDEST).contains(&windows.stream_window) {
        return Ok(());
    }
    Err(invalid(
        "A window cannot be so: give 64 KiB to 1 TiB for a session, and 16 KiB to 1 TiB for a stream.",
    ))
}

fn check_clocks(settings: &Settings) -> Result<(), Error> {
    let clocks = [
        settings.connect_timeout,
        settings.ping_every,
        settings.dead_after,
        settings.backoff.base,
        settings.backoff.max,
    ];
    let possible = clocks
        .iter()
        .all(|time| (SHORTEST..=LONGEST).contains(time));
    if !possible || settings.resume_within > LONGEST {
        return Err(invalid(
            "A clock cannot be so: give connect_timeout, backoff and liveness 1 ms to a year each, and \
             resume_within a year at most.",
        ));
    }
    if settings.dead_after <= settings.ping_every {
        return Err(invalid(
            "A silent relay would be given up before its ping can be answered: give liveness a second \
             time that is longer than the first.",
        ));
    }
    Ok(())
}

fn authorization(token: &str) -> Result<HeaderValue, Error> {
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

fn invalid(detail: &'static str) -> Error {
    Error::new(ErrorName::InvalidRequest, detail)
}
