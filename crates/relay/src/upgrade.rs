//! The relay: WebSockets become sessions.

use std::sync::Arc;

use bytes::Bytes;
use fetchway_fetch::{Account, AccountLimits, Engine};
use fetchway_service::{Principal, Shutdown, StreamServices, Work};
use fetchway_ws::HandshakeError;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ending::{EndReason, Ending};
use crate::observe::SessionObserver;
use crate::v1::Directory;
use crate::{json, v1};

/// Encoding of a session's messages, chosen by the WebSocket's subprotocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Without a subprotocol, or with `fetchway.json`.
    Json,
    /// `fetchway.v1`.
    V1,
}

/// Reason why a request has not become a WebSocket.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The request is no valid handshake.
    Handshake(HandshakeError),
    /// All of the credential's places are taken.
    Full,
}

impl From<HandshakeError> for Refusal {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

/// The relay of one node. Clones are one and the same.
#[derive(Clone)]
pub struct Relay {
    engine: Engine,
    pub(crate) observer: Arc<dyn SessionObserver>,
    /// Services of node streams, which only the binary encoding has. Without any, a URL of scheme
    /// `fetchway` is refused like one of any unknown scheme.
    pub(crate) services: StreamServices,
    /// The binary sessions, found by their tokens.
    pub(crate) directory: Arc<Directory>,
    /// Each session is a unit of work.
    pub(crate) shutdown: Shutdown,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Relay")
    }
}

impl Relay {
    /// Returns a relay whose sessions fetch through `engine`, and have node streams served by `services`.
    /// When `shutdown` drains, sessions take no new fetches, and close with 1001 when their last answer is
    /// written; after the grace they close at once.
    pub fn new(
        engine: Engine,
        observer: Arc<dyn SessionObserver>,
        services: StreamServices,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            engine,
            observer,
            services,
            directory: Arc::default(),
            shutdown,
        }
    }

    /// Answers a WebSocket handshake and, once the connection is handed over, runs the session.
    /// `protocol` is the subprotocol to confirm. A JSON session takes a place of its credential here; a
    /// binary session has one from its first HELLO to its end, however many sockets it has.
    ///
    /// # Errors
    /// [`Refusal`]: the caller answers with a status.
    pub(crate) fn upgrade(
        &self,
        mut request: Request<Incoming>,
        principal: Principal,
        (encoding, protocol): (Encoding, Option<HeaderValue>),
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let mut response = fetchway_ws::accept(request.method(), request.headers())?;
        let place = match encoding {
            Encoding::Json => principal.places.session(),
            Encoding::V1 => principal.places.socket(),
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
        let (relay, work) = (self.clone(), self.shutdown.begin());
        tokio::spawn(async move {
            let Ok(upgraded) = upgraded.await else {
                // The client left between its handshake and our answer.
                return;
            };
            let io = TokioIo::new(upgraded);
            match encoding {
                Encoding::Json => {
                    relay.session(io, principal, work).await;
                    drop(place);
                }
                Encoding::V1 => v1::serve(&relay, io, principal, place, work).await,
            }
        });
        Ok(response.map(|()| Full::default()))
    }

    /// Runs a session of the JSON encoding.
    pub(crate) async fn session<S>(&self, io: S, principal: Principal, work: Work) -> Ending
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let name = self.opened(&principal);
        let ending = json::serve(self, io, principal, work).await;
        self.closed(&name, ending.reason);
        ending
    }

    /// Counts and logs the beginning of a session. Returns the name for the log line of its end.
    pub(crate) fn opened(&self, principal: &Principal) -> Arc<str> {
        self.observer.session_opened();
        tracing::debug!(client = %principal.name, "session opened");
        principal.name.clone()
    }

    /// Counts and logs the refusal of a session beyond the limit.
    pub(crate) fn refused(&self, client: &str) {
        tracing::info!(client, "a session over the limit was refused");
        self.observer.session_refused();
    }

    /// Counts and logs the end of a session.
    pub(crate) fn closed(&self, client: &str, reason: EndReason) {
        tracing::debug!(client, why = reason.as_str(), "session closed");
        self.observer.session_closed(reason);
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
}
