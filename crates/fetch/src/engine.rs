//! A fetch from its beginning to its response's header: the loop over redirect hops and tries.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use fetchway_policy::guard::AddressPolicy;
use fetchway_policy::headers::{self, Coding};
use fetchway_policy::redirect::{self, RedirectMode};
use fetchway_policy::retry::{self, Attempt, Decision, Ended, Progress};
use fetchway_policy::{Clocks, ErrorName, FetchError, LaneConfig};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use tokio::time::Instant;
use url::Url;

use crate::admit::{Asking, Gate, Permit};
use crate::body::{Body, Raw, Source};
use crate::clock::{BodyClock, total_over};
use crate::config::{DEFAULT_LANE, EngineConfig};
use crate::decode::Decoder;
use crate::dial::Dialer;
use crate::dns::Dns;
use crate::end::End;
use crate::exchange::{Outgoing, exchange};
use crate::observe::Observer;
use crate::pool::{self, Failure, Network, Pool, Site};
use crate::request::{FetchRequest, RequestBody};
use crate::session::{Session, SessionConfig};
use crate::{LaneStats, budget, tls};

/// The most of a response body that is read only to keep its connection, in bytes.
const DRAIN: u64 = 16 << 10;

/// What a request weighs in its lane's queue beside its body and fields, in bytes.
const REQUEST_WEIGHT: usize = 1 << 10;

/// The engine. Clones are one and the same.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    lanes: Vec<(String, LaneConfig)>,
    default_lane: usize,
    gate: Arc<Gate>,
    pool: Arc<Pool>,
    bodies: Arc<budget::Bytes>,
    networks: Mutex<Vec<Weak<Network>>>,
    retry_after_cap: Duration,
    user_agent: HeaderValue,
    observer: Arc<dyn Observer>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

/// A response whose header has come.
#[derive(Debug)]
pub struct Fetched {
    /// Status, fields without hop-by-hop ones, and the body.
    pub response: Response<Body>,
    /// The URL that it came from, after redirects.
    pub url: Url,
}

impl Engine {
    /// Must be called within a tokio runtime: its timers run there until the last clone is gone.
    ///
    /// # Errors
    /// `proxy_configuration_error` for a configuration that cannot work, saying why.
    pub fn new(config: EngineConfig, observer: Arc<dyn Observer>) -> Result<Self, FetchError> {
        let broken =
            |detail: &'static str| FetchError::new(ErrorName::ProxyConfigurationError, detail);
        let user_agent = HeaderValue::from_str(&config.user_agent).map_err(|_| {
            broken("The user agent has characters that a header field may not have.")
        })?;
        let default_lane = config
            .lanes
            .iter()
            .position(|(name, _)| name == DEFAULT_LANE)
            .ok_or_else(|| broken("There is no lane called default."))?;
        let tls = tls::client_config(&config.extra_roots)?;
        let dialer = Dialer::new(Dns::new(&config.hosts, config.dns_ttl), tls);
        let lanes: Vec<LaneConfig> = config.lanes.iter().map(|(_, lane)| lane.clone()).collect();
        let sweep_every = (config.pool.idle_timeout / 4)
            .clamp(Duration::from_millis(100), Duration::from_secs(15));
        let inner = Arc::new(Inner {
            lanes: config.lanes,
            default_lane,
            gate: Gate::new(&lanes, config.origins, config.origin_default),
            pool: Arc::new(Pool::new(dialer, config.pool, observer.clone())),
            bodies: budget::Bytes::new(config.body_budget),
            networks: Mutex::default(),
            retry_after_cap: config.retry_after_cap,
            user_agent,
            observer,
        });
        tokio::spawn(sweeper(Arc::downgrade(&inner), sweep_every));
        Ok(Self(inner))
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.0.gate
    }

    pub(crate) fn bodies(&self) -> &Arc<budget::Bytes> {
        &self.0.bodies
    }

    /// What may be reached under `policy`. Equal policies share one network and its connections.
    #[must_use]
    pub fn network(&self, policy: &Arc<AddressPolicy>) -> Arc<Network> {
        let mut networks = self
            .0
            .networks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        networks.retain(|known| known.strong_count() > 0);
        let known = networks
            .iter()
            .filter_map(Weak::upgrade)
            .find(|known| known.policy() == &**policy);
        known.unwrap_or_else(|| {
            let network = Arc::new(Network::new(
                policy.clone(),
                self.0.pool.clone(),
                self.0.gate.clone(),
            ));
            networks.push(Arc::downgrade(&network));
            network
        })
    }

    /// Begins a session whose fetches may go where `network` does.
    #[must_use]
    pub fn session(&self, network: Arc<Network>, config: SessionConfig) -> Session {
        Session::open(self.clone(), network, config)
    }

    /// From now on a fetch to `listener` is refused with `proxy_loop_detected`.
    pub fn add_own_listener(&self, listener: std::net::SocketAddr) {
        self.0.pool.dialer.add_own_listener(listener);
    }

    /// The lane called `name`, or the default one; by index.
    ///
    /// # Errors
    /// `invalid_request` for a name that is not configured.
    pub fn lane(&self, name: Option<&str>) -> Result<usize, FetchError> {
        let Some(name) = name else {
            return Ok(self.0.default_lane);
        };
        let found = self.0.lanes.iter().position(|(lane, _)| lane == name);
        found.ok_or_else(|| {
            let name: String = name.chars().take(100).collect();
            let detail = format!(
                "There is no lane called {name:?}: name a configured one, or none for the default."
            );
            FetchError::new(ErrorName::InvalidRequest, detail)
        })
    }

    /// The names of the lanes, by index.
    pub fn lanes(&self) -> impl Iterator<Item = &str> {
        self.0.lanes.iter().map(|(name, _)| name.as_str())
    }

    /// The cap on response bodies of a lane, in bytes.
    #[must_use]
    pub fn response_cap(&self, lane: usize) -> u64 {
        self.0.lanes[lane].1.response_cap
    }

    /// What is under way in each lane, by index.
    #[must_use]
    pub fn lane_stats(&self) -> Vec<LaneStats> {
        (0..self.0.lanes.len())
            .map(|lane| self.0.gate.lane_stats(lane))
            .collect()
    }

    /// Bytes of whole bodies in memory.
    #[must_use]
    pub fn budget_used(&self) -> u64 {
        self.0.bodies.used()
    }

    /// Performs a fetch up to its response's header.
    ///
    /// # Errors
    /// Whatever it fails with, by name. Dropping the future cancels it.
    pub async fn fetch(
        &self,
        session: &Session,
        request: FetchRequest,
    ) -> Result<Fetched, FetchError> {
        let sent = request.body.counter();
        let mut end = End::begin(self.0.observer.clone(), request.lane, sent);
        let lane = &self.0.lanes[request.lane].1;
        let mut run = Run::new(&self.0, lane, session, request);
        match run.perform().await {
            Ok((head, source, permit)) => {
                end.status(head.status());
                run.hand_over(head, source, permit, end)
            }
            Err(error) => {
                end.tell(Some(error.name), 0);
                Err(error)
            }
        }
    }
}

async fn sweeper(engine: Weak<Inner>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let networks = engine
            .networks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for network in networks.iter().filter_map(Weak::upgrade) {
            pool::sweep(&network, Instant::now());
        }
        engine.gate.sweep();
    }
}

/// One fetch: what is to be sent next, and what has been tried.
struct Run<'a> {
    engine: &'a Inner,
    lane: &'a LaneConfig,
    clocks: Clocks,
    session: &'a Session,
    request: FetchRequest,
    replayable: bool,
    /// The end of the total time; set when the fetch is first dispatched.
    total_until: Option<Instant>,
    redirects: u32,
    tries: u32,
    resent: bool,
}

type Response0 = (Response<()>, Source, Permit);

impl<'a> Run<'a> {
    fn new(
        engine: &'a Inner,
        lane: &'a LaneConfig,
        session: &'a Session,
        mut request: FetchRequest,
    ) -> Self {
        set_defaults(&mut request, &engine.user_agent);
        Self {
            engine,
            lane,
            clocks: lane.clocks.shortened(&request.timeouts),
            session,
            replayable: request.body.replayable(),
            request,
            total_until: None,
            redirects: 0,
            tries: 0,
            resent: false,
        }
    }

    async fn perform(&mut self) -> Result<Response0, FetchError> {
        loop {
            let site = self.session.network.site(&self.request.url)?;
            let permit = self.admit(&site).await?;
            if !self.resent_now() {
                self.tries += 1;
            }
            let total = self.total_until.unwrap_or_else(Instant::now);
            let sent = tokio::time::timeout_at(total, self.send(&site)).await;
            let sent = sent.unwrap_or_else(|_| {
                Err(Failure {
                    error: total_over(),
                    progress: Progress::SentNoResponse,
                })
            });
            if let Ok((head, _)) = &sent {
                self.heed_retry_after(&site, head);
            }
            match self.decide(&sent) {
                Decision::Stop => {}
                Decision::Resend => {
                    self.resent = true;
                    continue;
                }
                Decision::Retry(wait) => {
                    self.let_go(sent, permit).await;
                    self.wait(wait).await?;
                    continue;
                }
            }
            let (head, source) = sent.map_err(|failure| failure.error)?;
            match self.follow(&head)? {
                None => return Ok((head, source, permit)),
                Some(follow) => {
                    self.let_go(Ok((head, source)), permit).await;
                    follow.apply(&mut self.request.headers);
                    self.request.url = follow.url;
                    self.request.method = follow.method;
                    if follow.drop_body {
                        self.request.body = RequestBody::Full(bytes::Bytes::new());
                        self.replayable = true;
                    }
                    self.redirects += 1;
                    (self.tries, self.resent) = (0, false);
                }
            }
        }
    }

    fn is_first(&self) -> bool {
        self.total_until.is_none()
    }

    /// Whether the send to come is the free resend, which is no try of the lane's.
    fn resent_now(&self) -> bool {
        self.resent && self.tries > 0
    }

    async fn admit(&mut self, site: &Site) -> Result<Permit, FetchError> {
        let fields: usize = self
            .request
            .headers
            .iter()
            .map(|(n, v)| n.as_str().len() + v.len())
            .sum();
        let asking = Asking {
            lane: self.request.lane,
            session: self.session.id,
            bytes: REQUEST_WEIGHT
                + fields
                + self.request.url.as_str().len()
                + self.request.body.weight(),
            again: !self.is_first(),
        };
        let permit = self.engine.gate.admit(&site.origin, asking).await?;
        if self.is_first() {
            let total = self.clocks.total;
            self.total_until = Some(Instant::now() + total);
        }
        Ok(permit)
    }

    async fn send(&mut self, site: &Arc<Site>) -> Result<(Response<()>, Source), Failure> {
        let connect = self.clocks.connect;
        let lease = site.checkout(connect).await.map_err(|error| Failure {
            error,
            progress: Progress::Unconnected,
        })?;
        let outgoing = Outgoing {
            method: &self.request.method,
            url: &self.request.url,
            headers: &self.request.headers,
            body: self.request.body.take_or_copy(),
        };
        let exchanged = exchange(site.clone(), lease, outgoing);
        tokio::time::timeout(self.clocks.header, exchanged)
            .await
            .unwrap_or_else(|_| {
                let detail = "The origin sent no response header within the lane's header timeout.";
                Err(Failure {
                    error: FetchError::new(ErrorName::HttpResponseTimeout, detail),
                    progress: Progress::SentNoResponse,
                })
            })
    }

    fn decide(&self, sent: &Result<(Response<()>, Source), Failure>) -> Decision {
        let ended = match sent {
            // Nearly all: nothing to decide.
            Ok((head, _)) if !retry::RETRYABLE_STATUSES.contains(&head.status().as_u16()) => {
                return Decision::Stop;
            }
            Ok((head, _)) => Ended::Status(head.status()),
            Err(failure) => Ended::Failed(failure.error.name, failure.progress),
        };
        let attempt = Attempt {
            number: self.tries,
            resent: self.resent,
            idempotent: retry::is_idempotent(&self.request.method),
            keyed: retry::has_key(&self.request.headers),
            replayable: self.replayable,
            ended,
            random: rand::random(),
        };
        retry::decide(&self.lane.retry, &attempt)
    }

    fn follow(&self, head: &Response<()>) -> Result<Option<redirect::Follow>, FetchError> {
        if !head.status().is_redirection() || self.request.redirect == RedirectMode::Manual {
            return Ok(None);
        }
        let hop = redirect::Hop {
            url: &self.request.url,
            method: &self.request.method,
            status: head.status(),
            location: redirect::location(head.headers())?,
            followed: self.redirects,
            replayable: self.replayable,
        };
        redirect::decide(self.request.redirect, &hop)
    }

    fn heed_retry_after(&self, site: &Site, head: &Response<()>) {
        let heeded = matches!(
            head.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        if let Some(value) = head.headers().get(header::RETRY_AFTER).filter(|_| heeded)
            && let Some(wait) =
                retry::retry_after(value.as_bytes(), wall_clock(), self.engine.retry_after_cap)
        {
            self.engine
                .gate
                .slow(&site.origin, std::time::Instant::now() + wait);
        }
    }

    /// Ends a response that nobody will see. A short body is read, so that its connection can serve
    /// again; the permits are given back when that is done.
    async fn let_go(&mut self, sent: Result<(Response<()>, Source), Failure>, permit: Permit) {
        let Ok((_, source)) = sent else { return };
        let total = self.total_until.unwrap_or_else(Instant::now);
        let mut raw = Raw {
            source,
            clock: BodyClock::new(self.clocks.body_idle, total),
            permit: Some(permit),
            cap: DRAIN,
            received: 0,
        };
        while let Some(Ok(_)) = std::future::poll_fn(|cx| raw.poll_frame(cx)).await {}
    }

    async fn wait(&mut self, wait: Duration) -> Result<(), FetchError> {
        let until = Instant::now() + wait;
        if self.total_until.is_some_and(|total| total < until) {
            return Err(total_over());
        }
        tokio::time::sleep_until(until).await;
        Ok(())
    }

    fn hand_over(
        self,
        head: Response<()>,
        source: Source,
        permit: Permit,
        end: End,
    ) -> Result<Fetched, FetchError> {
        let (mut head, ()) = head.into_parts();
        let bodiless = self.request.method == Method::HEAD
            || matches!(
                head.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        let decodes = self.request.decode && !bodiless;
        let codings = match decodes {
            true => headers::content_codings(&head.headers),
            false => Ok(Vec::new()),
        };
        let codings: Vec<Coding> = match codings {
            Ok(codings) => codings,
            Err(error) => {
                end.tell(Some(error.name), 0);
                return Err(error);
            }
        };
        headers::strip_response(&mut head.headers);
        if decodes {
            headers::strip_decoded(&mut head.headers);
        }
        let total = self.total_until.unwrap_or_else(Instant::now);
        let raw = Raw {
            source,
            clock: BodyClock::new(self.clocks.body_idle, total),
            permit: Some(permit),
            cap: self.lane.response_cap,
            received: 0,
        };
        let decoder = (!codings.is_empty()).then(|| Decoder::new(&codings));
        Ok(Fetched {
            response: Response::from_parts(head, Body::new(raw, decoder, end)),
            url: self.request.url,
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "a Retry-After may be a date")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// What a request is given where it says nothing itself, as fetch does in browsers.
fn set_defaults(request: &mut FetchRequest, user_agent: &HeaderValue) {
    let headers: &mut HeaderMap = &mut request.headers;
    headers::strip_request(headers);
    if !headers.contains_key(header::ACCEPT) {
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    }
    if !headers.contains_key(header::USER_AGENT) {
        headers.insert(header::USER_AGENT, user_agent.clone());
    }
    if request.decode && !headers.contains_key(header::ACCEPT_ENCODING) {
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("gzip, br, zstd, deflate"),
        );
    }
}
