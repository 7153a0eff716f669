//! A gateway as a whole: puts its parts together, and tells handshakes from pushes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fetchway_fetch::{Engine, Network};
use fetchway_policy::{ErrorName, FetchError};
use http::{Method, Request, StatusCode, Version, header};
use hyper::body::Incoming;
use mio::Poll;

use crate::api::{Api, Sender};
use crate::client::{Answer, Handshakes, Lifecycle, Peer, Pushes, SLICES, Traffic, Work, text};
use crate::clock::Clock;
use crate::config::Config;
use crate::drain;
use crate::error_log::ErrorLog;
use crate::observe::Observer;
use crate::reactor::{self, Mailbox};
use crate::stats::Stats;
use crate::telemetry::Telemetry;

/// Largest number of reactors of one gateway. There are as many as the machine has processors.
const MAX_REACTORS: usize = 64;

/// A gateway. All clones are the same one; with the last one its clients are cut off.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gateway({})", self.0.life.config.name)
    }
}

struct Inner {
    life: Arc<Lifecycle>,
    handshakes: Handshakes,
    pushes: Pushes,
    reactors: Vec<Arc<Mailbox<Work>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.reactors.iter().for_each(|reactor| reactor.stop());
    }
}

impl Gateway {
    /// Starts a gateway in front of `config.api`, whose requests `engine` performs over networks that
    /// `network` returns: each must be a new one, that nobody else uses. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// `invalid_request` for an unknown lane or an API URL that cannot work; `proxy_internal_error` if the
    /// system gives no epoll set or thread.
    pub fn new(
        config: Config,
        engine: &Engine,
        network: impl Fn() -> Arc<Network>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, FetchError> {
        let clock = Clock::start();
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let reactors = (0..workers.min(MAX_REACTORS)).map(|_| Arc::default());
        let reactors: Vec<Arc<Mailbox<Work>>> = reactors.collect();
        let log = ErrorLog::new(&config.name, config.api.as_str(), clock);
        let telemetry = Arc::new(Telemetry::new(observer, log));
        let api = Api::new(&config, engine, network, reactors.len(), telemetry.clone())?;
        let (api, sweep_every) = (Arc::new(api), sweep_every(&config));
        let life = Lifecycle::new(config, telemetry, clock, reactors.clone());
        let life = Arc::new(life);
        // Its drop stops the reactors that have been started when a later one cannot be.
        let gateway = Self(Arc::new(Inner {
            handshakes: Handshakes::new(life.clone(), api.clone()),
            pushes: Pushes::new(life.clone(), api.clone()),
            life,
            reactors,
        }));
        let no_reactor = |error: io::Error| {
            let detail = format!("The system gives no epoll set or thread for clients ({error}).");
            FetchError::new(ErrorName::ProxyInternalError, detail)
        };
        for (at, mailbox) in gateway.0.reactors.iter().enumerate() {
            let poll = Poll::new().map_err(no_reactor)?;
            let registry = || poll.registry().try_clone().map_err(no_reactor);
            let events = mailbox.clone();
            let notify = Arc::new(move |event| events.send(Work::Api(event)));
            let sender = Sender::new(api.clone(), at, registry()?, notify)?;
            let traffic = Traffic::new(gateway.0.life.clone(), sender, registry()?);
            let started = reactor::start(traffic, poll, mailbox.clone(), sweep_every);
            started.map_err(no_reactor)?;
        }
        Ok(gateway)
    }

    /// Answers a request on the clients' listener.
    pub async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Answer {
        let Inner {
            handshakes, pushes, ..
        } = &*self.0;
        if !names_host(&request) {
            return no_host();
        }
        if *request.method() != Method::GET {
            return pushes.handle(request, peer.authorized).await;
        }
        // A request that says Upgrade is a handshake: a proxy may let nothing else through.
        if is_query(&request)
            && let Some(answer) = pushes.query(&request, peer.authorized)
        {
            return answer;
        }
        // A task of its own: the API may have been asked when the client leaves.
        let connecting = tokio::spawn(handshakes.clone().connect(request, peer));
        connecting.await.unwrap_or_else(|_| {
            let why = "the handshake failed in a way that is a fault of fetchway";
            text(StatusCode::INTERNAL_SERVER_ERROR, why)
        })
    }

    /// Answers a request on the push listener. Whoever reaches it may push.
    pub async fn handle_push(&self, request: Request<Incoming>) -> Answer {
        if !names_host(&request) {
            return no_host();
        }
        match *request.method() {
            Method::GET => self.0.pushes.describe(&request),
            _ => self.0.pushes.control(request).await,
        }
    }

    /// Returns the counters as they are now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.life.telemetry.counters.stats()
    }

    /// Takes no more clients, closes those that are there with 1012 spread over the configured time, and
    /// waits until the API has heard of all their messages and ends. Returns true if that was so within
    /// `grace`.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        drain::drain(&self.0.life, grace).await
    }

    /// Cuts off the clients that are left.
    pub fn abort(&self) {
        drain::abort(&self.0.life);
    }
}

/// Returns the interval at which a slice of the clients is checked.
fn sweep_every(config: &Config) -> Duration {
    let finest = config.ping_interval.min(config.write_stall);
    (finest / 4 / SLICES).clamp(Duration::from_millis(10), Duration::from_millis(250))
}

/// Returns true if a GET is no handshake. In HTTP/1.0 there is none (RFC 9110 section 7.8).
fn is_query(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_10 || !request.headers().contains_key(header::UPGRADE)
}

/// Returns true if there is exactly one `Host` field (RFC 9112 section 3.2). In HTTP/1.0 it may be missing.
fn names_host(request: &Request<Incoming>) -> bool {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    hosts == 1 || hosts == 0 && request.version() == Version::HTTP_10
}

fn no_host() -> Answer {
    let why = "HTTP/1.1 demands one Host field";
    text(StatusCode::BAD_REQUEST, why)
}
