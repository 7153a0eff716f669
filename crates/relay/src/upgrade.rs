//! The relay: WebSockets become sessions, and all sessions end together.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fetchway_fetch::{Account, AccountLimits, Engine};
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::ending::{CLOSING, Ending, Phase};
use crate::limits::Principal;
use crate::observe::SessionObserver;
use crate::places::{Places, Refusal};
use crate::service::Service;
use crate::v1::Directory;
use crate::{json, v1};

/// What is spoken over a WebSocket, by its subprotocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Without a subprotocol, or with `fetchway.json`.
    Json,
    /// `fetchway.v1`.
    V1,
}

/// The relay of one node. Clones are one and the same.
#[derive(Clone)]
pub struct Relay {
    engine: Engine,
    pub(crate) observer: Arc<dyn SessionObserver>,
    /// What serves streams that are addressed to the node itself.
    pub(crate) service: Option<Arc<dyn Service>>,
    /// The binary sessions, to be found by their tokens.
    pub(crate) directory: Arc<Directory>,
    /// Each session holds a receiver, so the channel closes with the last of them.
    pub(crate) phase: Arc<watch::Sender<Phase>>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Relay({} sessions)", self.phase.receiver_count())
    }
}

impl Relay {
    /// A relay whose sessions fetch through `engine`.
    pub fn new(engine: Engine, observer: Arc<dyn SessionObserver>) -> Self {
        Self {
            engine,
            observer,
            service: None,
            directory: Arc::default(),
            phase: Arc::new(watch::Sender::new(Phase::Open)),
        }
    }

    /// The same with something that serves streams which are addressed to the node itself, by a URL of
    /// scheme `fetchway`. Without it they are refused like those of any scheme that is not known. They
    /// are in the binary encoding only.
    #[must_use]
    pub fn with_service(mut self, service: Arc<dyn Service>) -> Self {
        self.service = Some(service);
        self
    }

    /// Answers a WebSocket handshake and, once the connection is handed over, runs the session.
    /// `protocol` is the subprotocol to confirm. A JSON session has its place of `places` from here on,
    /// a binary one from its first HELLO to its end, however many sockets it has.
    ///
    /// # Errors
    /// [`Refusal`]: the caller answers with a status.
    pub fn upgrade(
        &self,
        mut request: Request<Incoming>,
        principal: Principal,
        (encoding, protocol): (Encoding, Option<HeaderValue>),
        places: Arc<dyn Places>,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let mut response = fetchway_ws::accept(request.method(), request.headers())?;
        let place = match encoding {
            Encoding::Json => places.session(),
            Encoding::V1 => places.socket(),
        };
        let Some(place) = place else {
            self.refused(&principal.name);
            return Err(Refusal::Full);
        };
        if let Some(protocol) = protocol {
            response
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        let upgraded = hyper::upgrade::on(&mut request);
        let (relay, phase) = (self.clone(), self.phase.subscribe());
        tokio::spawn(async move {
            let Ok(upgraded) = upgraded.await else {
                // The client left between its handshake and our answer.
                return;
            };
            let io = TokioIo::new(upgraded);
            match encoding {
                Encoding::Json => {
                    relay.session(io, principal, phase).await;
                    drop(place);
                }
                Encoding::V1 => {
                    let socket = Some(place);
                    let entry = v1::Entry { socket, places };
                    v1::serve(&relay, io, principal, entry, phase).await;
                }
            }
        });
        Ok(response.map(|()| Full::default()))
    }

    /// Runs a session of the JSON encoding.
    pub(crate) async fn session<S>(
        &self,
        io: S,
        principal: Principal,
        phase: watch::Receiver<Phase>,
    ) -> Ending
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let name = self.opened(&principal);
        let ending = json::serve(self, io, principal, phase).await;
        self.closed(&name, ending.why);
        ending
    }

    /// A session has begun. Gives the name that its end is told by.
    pub(crate) fn opened(&self, principal: &Principal) -> Arc<str> {
        self.observer.session_opened();
        tracing::debug!(client = %principal.name, "session opened");
        principal.name.clone()
    }

    /// A session that would be one too many has been refused.
    pub(crate) fn refused(&self, client: &str) {
        tracing::info!(client, "a session over the limit was refused");
        self.observer.session_refused();
    }

    /// A session has ended.
    pub(crate) fn closed(&self, client: &str, why: &'static str) {
        tracing::debug!(client, why, "session closed");
        self.observer.session_closed(why);
    }

    /// Opens the account of a client's session.
    pub(crate) fn account(&self, principal: &Principal) -> Account {
        let limits = &principal.limits;
        let limits = AccountLimits {
            in_flight: limits.in_flight,
            queued: limits.queued,
            queued_bytes: limits.queued_bytes,
        };
        principal.account(&self.engine, limits)
    }

    /// Takes no new fetches from now on. To be followed by [`Self::shutdown`].
    pub fn leave(&self) {
        self.phase.send_replace(Phase::Leaving);
    }

    /// Takes no new fetches, closes each session with 1001 when its last answer is written, and
    /// after `grace` closes the rest as they are. Returns whether none had to be: then every fetch
    /// has been answered.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        self.leave();
        if tokio::time::timeout(grace, self.phase.closed())
            .await
            .is_ok()
        {
            return true;
        }
        self.phase.send_replace(Phase::Over);
        // Each session closes within its own bound.
        let _ = tokio::time::timeout(CLOSING * 2, self.phase.closed()).await;
        false
    }

    /// Closes every session now, whatever is in flight.
    pub fn abort(&self) {
        self.phase.send_replace(Phase::Over);
    }
}
