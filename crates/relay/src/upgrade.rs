//! From a WebSocket handshake to a session.

use bytes::Bytes;
use fetchway_service::{Principal, Work};
use fetchway_ws::HandshakeError;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ending::Ending;
use crate::relay::Relay;
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

impl Relay {
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
                // The client left between its handshake and the answer.
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
}
