//! The relay: WebSockets become sessions, and all sessions end together.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fetchway_fetch::{Engine, SessionConfig, SessionLimits};
use fetchway_ws::{Decoder, HandshakeError, Receiver, Role};
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::limits::Principal;
use crate::observe::SessionObserver;
use crate::reader::{Ending, Reader};
use crate::session::Session;
use crate::writer;

/// How long a closing session waits for its last bytes to be taken, and then for the client's Close.
const CLOSING: Duration = Duration::from_secs(5);

/// Where the relay is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not at all.
    Open,
    /// No new fetches; sessions close as they fall quiet.
    Leaving,
    /// Every session closes now.
    Over,
}

/// The relay of one node. Clones are one and the same.
#[derive(Clone)]
pub struct Relay {
    engine: Engine,
    observer: Arc<dyn SessionObserver>,
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
        protocol: Option<HeaderValue>,
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
            relay.serve(upgraded, principal, phase).await;
            drop(guard);
        });
        Ok(response.map(|()| Full::default()))
    }

    async fn serve(
        &self,
        upgraded: OnUpgrade,
        principal: Principal,
        phase: watch::Receiver<Phase>,
    ) {
        let Ok(upgraded) = upgraded.await else {
            // The client left between its handshake and our answer.
            return;
        };
        self.observer.session_opened();
        let name = principal.name.clone();
        tracing::debug!(client = %name, "session opened");
        let ending = self.session(TokioIo::new(upgraded), principal, phase).await;
        tracing::debug!(client = %name, why = ending.why, "session closed");
        self.observer.session_closed(ending.why);
    }

    pub(crate) async fn session<S>(
        &self,
        io: S,
        principal: Principal,
        phase: watch::Receiver<Phase>,
    ) -> Ending
    where
        S: AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let limits = principal.limits.clone();
        let config = SessionConfig {
            limits: SessionLimits {
                in_flight: limits.in_flight,
                queued: limits.queued,
                queued_bytes: limits.queued_bytes,
            },
            bodies: limits.answers as u64,
        };
        let network = self.engine.network(&principal.policy);
        let session = Arc::new(Session::new(
            self.engine.session(network, config),
            principal,
        ));
        let (read, write) = tokio::io::split(io);
        let mut writing = {
            let (session, observer) = (session.clone(), self.observer.clone());
            tokio::spawn(async move {
                writer::write(write, &session.outbox, limits.write_stall, &*observer).await
            })
        };
        let mut reader = Reader {
            session: &session,
            receiver: Receiver::new(
                read,
                BytesMut::new(),
                Decoder::new(Role::Server, limits.message),
            ),
            phase,
            observer: &*self.observer,
            last_seen: Instant::now(),
            serial: 0,
        };
        let ending = tokio::select! {
            ending = reader.run() => ending,
            written = &mut writing => {
                session.abort();
                let stalled = matches!(written, Ok(Err(ref e)) if e.kind() == std::io::ErrorKind::TimedOut);
                return Ending { why: if stalled { "stalled" } else { "gone" }, close: None };
            }
        };
        session.abort();
        let written = match ending.payload() {
            Some(payload) => {
                session.outbox.close(payload);
                tokio::time::timeout(CLOSING, &mut writing).await.is_ok()
            }
            None => false,
        };
        if !written {
            writing.abort();
            // What it holds of the byte budget is given back before the session counts as ended.
            // The error only says that it was aborted.
            let _ = writing.await;
        } else if ending.why != "client" {
            // The client's own Close, or its end, comes last (RFC 6455 section 7.1.1).
            let _ = tokio::time::timeout(CLOSING, reader.until_close()).await;
        }
        ending
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
