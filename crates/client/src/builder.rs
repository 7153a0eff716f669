//! The builder of a client: relays, credentials, timeouts and limits.

use std::sync::Arc;
use std::time::Duration;

use fetchway_policy::ErrorName;
use fetchway_wire::v1::Config;
use fetchway_wire::v1::session::floor;
use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::client::Client;
use crate::error::Error;
use crate::link::{Target, tls_config};
use crate::options::Failover;
use crate::relays::Relays;
use crate::settings::{Encoding, Settings};

/// Maximum of every duration: a year. Much longer durations would overflow an `Instant`.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3600);

/// Minimum of every duration. A shorter one would cause a busy loop.
const MIN_DURATION: Duration = Duration::from_millis(1);

/// Maximum of a window in bytes: 1 TiB.
const MAX_WINDOW: u64 = 1 << 40;

/// Builds a [`Client`]. Sockets are opened when a fetch needs them, or by [`Client::connect`].
pub struct Builder {
    /// URLs of the relays, each with its own token if it has one.
    relays: Vec<(String, Option<String>)>,
    sockets: usize,
    token: Option<String>,
    roots: Vec<CertificateDer<'static>>,
    /// True if PEM without a valid certificate was added.
    bad_pem: bool,
    settings: Settings,
}

impl std::fmt::Debug for Builder {
    /// Leaves out the tokens, and the URLs, which are unchecked and may contain credentials.
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

impl Client {
    /// Returns a builder with the default settings.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Adds a relay by its `ws://` or `wss://` URL. At least one relay is required.
    #[must_use]
    pub fn relay(mut self, url: impl Into<String>) -> Self {
        self.relays.push((url.into(), None));
        self
    }

    /// Adds a relay with its own token, which replaces the common [`token`](Self::token).
    #[must_use]
    pub fn relay_with_token(mut self, url: impl Into<String>, token: impl Into<String>) -> Self {
        self.relays.push((url.into(), Some(token.into())));
        self
    }

    /// Adds several relays. Each fetch goes to the socket with the fewest fetches in flight.
    #[must_use]
    pub fn relays<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Self {
        let urls = urls.into_iter().map(Into::into);
        self.relays.extend(urls.map(|url| (url, None)));
        self
    }

    /// Sets the maximum number of sockets to each relay: 1 to 64, 1 by default. A further socket is opened
    /// when all open ones are in use.
    #[must_use]
    pub fn sockets(mut self, sockets: usize) -> Self {
        self.sockets = sockets;
        self
    }

    /// Sets the token that is sent as `Authorization: Bearer …` (RFC 6750) to every relay without its own.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Trusts a certificate authority for `wss://`, in addition to the public ones. The certificate is
    /// in DER form.
    #[must_use]
    pub fn root_certificate(mut self, certificate: CertificateDer<'static>) -> Self {
        self.roots.push(certificate);
        self
    }

    /// Trusts all certificates of a PEM file for `wss://`, in addition to the public ones. Other
    /// contents of the file are ignored. [`build`](Self::build) fails if the file has no certificate or
    /// an invalid one.
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

    /// Sets the encodings that are offered to relays; [`Encoding::Auto`] by default.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.settings.encoding = encoding;
        self
    }

    /// Sets the maximum number of unread bytes of all responses on one socket (`session`, 64 KiB to 1 TiB,
    /// 16 MiB by default), and of one response (`stream`, 16 KiB to 1 TiB, 256 KiB by default).
    ///
    /// An unread body pauses itself at `stream`, and all responses on its socket when together they reach
    /// `session`. Over JSON only `session` applies, and counts whole answers.
    #[must_use]
    pub fn windows(mut self, session: u64, stream: u64) -> Self {
        self.settings.windows.session_window = session;
        self.settings.windows.stream_window = stream;
        self
    }

    /// Sets the maximum time to open a socket, from DNS to the relay's first message: 1 ms to a year,
    /// 10 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.settings.connect_timeout = time;
        self
    }

    /// Sets the maximum time to resume a session that lost its socket: up to a year, 30 s by default, and
    /// never longer than the relay keeps the session. With zero, sessions are not resumed.
    #[must_use]
    pub fn resume_within(mut self, time: Duration) -> Self {
        self.settings.resume_within = time;
        self
    }

    /// Sets the pause before a relay is dialled again: random between zero and a limit that begins at
    /// `base` and doubles with each failure up to `max` (full jitter). Each is 1 ms to a year; 100 ms
    /// and 10 s by default.
    #[must_use]
    pub fn backoff(mut self, base: Duration, max: Duration) -> Self {
        (self.settings.backoff.base, self.settings.backoff.max) = (base, max);
        self
    }

    /// Sets the silence after which a relay is pinged (`ping_every`, 20 s by default), and the silence
    /// after which its socket is given up (`dead_after`, 60 s by default). Each is 1 ms to a year, and
    /// `dead_after` must be longer than `ping_every`.
    #[must_use]
    pub fn liveness(mut self, ping_every: Duration, dead_after: Duration) -> Self {
        (self.settings.ping_every, self.settings.dead_after) = (ping_every, dead_after);
        self
    }

    /// Sets how many fetches may wait for a socket or a free stream (10,000 by default), and how long
    /// each may wait, all its attempts together (30 s by default).
    ///
    /// Beyond `fetches`, a fetch fails with `queue_full`. After `wait`, it fails with `queue_timeout`,
    /// or with the reason why no relay can be reached. If no later attempt can succeed at any relay
    /// (wrong credential, untrusted certificate, no relay at the URL), fetches fail at once.
    ///
    /// With `fetches` zero, a fetch fails whenever it would have to wait, including for the first
    /// socket: call [`Client::connect`] first.
    #[must_use]
    pub fn queue(mut self, fetches: usize, wait: Duration) -> Self {
        (self.settings.queue, self.settings.queue_wait) = (fetches, wait);
        self
    }

    /// Sets what happens to fetches whose relay is lost; [`Failover::Idempotent`] by default.
    /// [`Options`](crate::Options) override it for one fetch.
    #[must_use]
    pub fn failover(mut self, failover: Failover) -> Self {
        self.settings.failover = failover;
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    /// `invalid_request` if a relay's URL, a token, the number of sockets, a window or a duration is
    /// not valid; `proxy_configuration_error` if a certificate cannot be used.
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
            return Err(invalid(
                "The client has no relay: add one with Builder::relay.",
            ));
        }
        if !(1..=64).contains(&sockets) {
            return Err(invalid(
                "The number of sockets is out of range: use 1 to 64.",
            ));
        }
        check_durations(&settings)?;
        check_windows(&settings.windows)?;
        if bad_pem {
            let detail = "A PEM file of root certificates has no certificate or an invalid one: use another file.";
            return Err(Error::new(ErrorName::ProxyConfigurationError, detail));
        }
        let shared = token.map(|token| authorization(&token)).transpose()?;
        // Checked even if no relay uses TLS: a certificate that cannot be used is a mistake.
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
        Ok(Client {
            relays: Arc::new(Relays::new(&targets, sockets, settings)),
        })
    }
}

fn check_windows(windows: &Config) -> Result<(), Error> {
    let session = (floor::SESSION_WINDOW..=MAX_WINDOW).contains(&windows.session_window);
    if session && (floor::STREAM_WINDOW..=MAX_WINDOW).contains(&windows.stream_window) {
        return Ok(());
    }
    Err(invalid(
        "A window is out of range: use 64 KiB to 1 TiB for a session, and 16 KiB to 1 TiB for a stream.",
    ))
}

fn check_durations(settings: &Settings) -> Result<(), Error> {
    let durations = [
        settings.connect_timeout,
        settings.ping_every,
        settings.dead_after,
        settings.backoff.base,
        settings.backoff.max,
    ];
    let in_range = durations
        .iter()
        .all(|time| (MIN_DURATION..=MAX_DURATION).contains(time));
    if !in_range || settings.resume_within > MAX_DURATION {
        return Err(invalid(
            "A duration is out of range: use 1 ms to a year for connect_timeout, backoff and liveness, and at \
             most a year for resume_within.",
        ));
    }
    if settings.dead_after <= settings.ping_every {
        return Err(invalid(
            "A silent relay would be given up before it can answer a ping: set dead_after of liveness to \
             more than ping_every.",
        ));
    }
    Ok(())
}

fn authorization(token: &str) -> Result<HeaderValue, Error> {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid(
            "The token cannot be sent: use visible ASCII characters only, without spaces.",
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
