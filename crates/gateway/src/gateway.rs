//! A gateway as a whole: puts its parts together, and tells handshakes from pushes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fetchway_fetch::{Engine, Network};
use fetchway_policy::{ErrorName, FetchError};
use fetchway_service::Shutdown;
use fetchway_service::problem::text;
use fetchway_service::reply::Reply;
use http::{Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use mio::Poll;
use tokio::task::JoinHandle;

use crate::api::Sender;
use crate::client::{Lifecycle, Peer, SLICES, Traffic, Work, connect, push};
use crate::config::Config;
use crate::drain::drain;
use crate::observe::Observer;
use crate::reactor;
use crate::stats::Stats;

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
    drain: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.drain.abort();
        self.life.reactors.iter().for_each(|reactor| reactor.stop());
    }
}

impl Gateway {
    /// Starts a gateway in front of `config.api`, whose requests `engine` performs over networks that
    /// `network` returns: each must be a new one, that nobody else uses. Must be called within a tokio
    /// runtime.
    ///
    /// When `shutdown` drains, the gateway accepts no more clients, closes those that are there with 1012
    /// spread over `config.drain_spread`, and counts as work until the API has received all of their
    /// messages and ends. When `shutdown` closes, clients that are left are disconnected.
    ///
    /// # Errors
    /// `invalid_request` for an unknown lane or an API URL that cannot work; `proxy_internal_error` if the
    /// system gives no epoll set or thread.
    pub fn new(
        config: Config,
        engine: &Engine,
        network: impl Fn() -> Arc<Network>,
        observer: Arc<dyn Observer>,
        shutdown: &Shutdown,
    ) -> Result<Self, FetchError> {
        let life = Lifecycle::new(config, engine, network, observer, shutdown.clone())?;
        let life = Arc::new(life);
        // Its drop stops the reactors that have been started when a later one cannot be.
        let gateway = Self(Arc::new(Inner {
            drain: tokio::spawn(drain(life.clone(), shutdown.begin())),
            life: life.clone(),
        }));
        let no_reactor = |error: io::Error| {
            let detail = format!("The system gives no epoll set or thread for clients ({error}).");
            FetchError::new(ErrorName::ProxyInternalError, detail)
        };
        for (at, mailbox) in life.reactors.iter().enumerate() {
            let poll = Poll::new().map_err(no_reactor)?;
            let registry = || poll.registry().try_clone().map_err(no_reactor);
            let events = mailbox.clone();
            let notify = Arc::new(move |event| events.send(Work::Api(event)));
            let sender = Sender::new(life.api.clone(), at, registry()?, notify)?;
            let traffic = Traffic::new(life.clone(), sender, registry()?);
            let started = reactor::start(traffic, poll, mailbox.clone(), sweep_every(&life.config));
            started.map_err(no_reactor)?;
        }
        Ok(gateway)
    }

    /// Answers a request on the clients' listener.
    pub async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Reply> {
        let life = &self.0.life;
        if !names_host(&request) {
            return no_host();
        }
        if *request.method() != Method::GET {
            return push::handle(life, request, peer.authorized).await;
        }
        // A request that says Upgrade is a handshake: a proxy may let nothing else through.
        if is_query(&request)
            && let Some(answer) = push::query(life, &request, peer.authorized)
        {
            return answer.map(Reply::Whole);
        }
        // A task of its own: the API may have been asked when the client leaves.
        let connecting = tokio::spawn(connect(life.clone(), request, peer));
        let answer = connecting.await.unwrap_or_else(|_| {
            let why = "the handshake failed in a way that is a fault of fetchway";
            text(StatusCode::INTERNAL_SERVER_ERROR, why)
        });
        answer.map(Reply::Whole)
    }

    /// Answers a request on the push listener. Whoever reaches it may push.
    pub async fn handle_push(&self, request: Request<Incoming>) -> Response<Reply> {
        match names_host(&request) {
            true => push::control(&self.0.life, request).await,
            false => no_host(),
        }
    }

    /// Returns the counters as they are now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.life.telemetry.counters.stats()
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

fn no_host() -> Response<Reply> {
    let why = "HTTP/1.1 demands one Host field";
    text(StatusCode::BAD_REQUEST, why).map(Reply::Whole)
}
