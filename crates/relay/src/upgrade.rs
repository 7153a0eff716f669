//! The relay: WebSockets become sessions, and all sessions end together.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fetchway_fetch::{Engine, SessionConfig, SessionLimits};
use fetchway_ws::HandshakeError;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::ending::{CLOSING, Ending, Phase};
use crate::limits::Principal;
use crate::observe::SessionObserver;
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
            directory: Arc::default(),
            phase: Arc::new(watch::Sender::new(Phase::Open)),
        }
    }

    /// Answers a WebSocket handshake and, once the connection is handed over, runs the session.
    /// `protocol` is the subprotocol to confirm; `guard` is kept until the session has ended.
    ///
    /// # Errors
    /// A request that is no handshake; the caller answers with its status.
    pub fn upgrade(
        &self,
        mut request: Request<Incoming>,
        principal: Principal,
        (encoding, protocol): (Encoding, Option<HeaderValue>),
        guard: impl Send + 'static,
    ) -> Result<Response<Full<Bytes>>, HandshakeError> {
        let mut response = fetchway_ws::accept(request.method(), request.headers())?;
        if let Some(protocol) = protocol {
            response
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        let upgraded = hyper::upgrade::on(&mut request);
        let (relay, phase) = (self.clone(), self.phase.subscribe());
        tokio::spawn(async move {
            relay.serve(upgraded, encoding, principal, phase).await;
            drop(guard);
        });
        Ok(response.map(|()| Full::default()))
    }

    async fn serve(
        &self,
        upgraded: OnUpgrade,
        encoding: Encoding,
        principal: Principal,
        phase: watch::Receiver<Phase>,
    ) {
        let Ok(upgraded) = upgraded.await else {
            // The client left between its handshake and our answer.
            return;
        };
        let io = TokioIo::new(upgraded);
        match encoding {
            Encoding::Json => {
                self.session(io, principal, phase).await;
            }
            Encoding::V1 => v1::serve(self, io, principal, phase).await,
        }
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

    /// A session has ended.
    pub(crate) fn closed(&self, client: &str, why: &'static str) {
        tracing::debug!(client, why, "session closed");
        self.observer.session_closed(why);
    }

    /// What fetches for a client's session.
    pub(crate) fn fetches(&self, principal: &Principal) -> fetchway_fetch::Session {
        let limits = &principal.limits;
        let config = SessionConfig {
            limits: SessionLimits {
                in_flight: limits.in_flight,
                queued: limits.queued,
                queued_bytes: limits.queued_bytes,
            },
            bodies: limits.answers as u64,
        };
        let network = self.engine.network(&principal.policy);
        self.engine.session(network, config)
    }

    /// Takes no new fetches, closes each session with 1001 when its last answer is written, and
    /// after `grace` closes the rest as they are. Returns whether none had to be: then every fetch
    /// has been answered.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        self.phase.send_replace(Phase::Leaving);
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
