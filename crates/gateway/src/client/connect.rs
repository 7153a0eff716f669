//! A client connects: its handshake is checked, the API asked, and the socket handed to a reactor.

use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use fetchway_ws::HandshakeError;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, ORIGIN, RETRY_AFTER,
    SEC_WEBSOCKET_PROTOCOL, SERVER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_rustls::server::TlsStream;

use super::connection::Connection;
use super::handshake::{Peer, address, beyond, client_id, is_reserved, passed_on};
use super::http::{Answer, text};
use super::lifecycle::Lifecycle;
use super::socket::Socket;
use crate::api::{Api, STATE};
use crate::config::Duplicate;
use crate::error_log::Problem;
use crate::observe::Connected;

const REPLACES: HeaderName = HeaderName::from_static("fetchway-replaces");

/// Seconds after which a client may come again that finds the gateway full.
const COME_AGAIN: HeaderValue = HeaderValue::from_static("5");

/// Bytes of a refusal's body that the log shows.
const MAX_SHOWN: usize = 100;

/// Answers the handshakes of clients.
#[derive(Clone)]
pub(crate) struct Handshakes {
    life: Arc<Lifecycle>,
    api: Arc<Api>,
}

/// The reason why a client does not get its connection.
enum Refusal {
    /// The request is no handshake at all, and not counted as one.
    NoUpgrade,
    /// The handshake is not one of RFC 6455.
    Handshake(HandshakeError),
    /// The path names no client, or leads elsewhere.
    Path(&'static str),
    /// The gateway or the API does not want the client.
    Unwanted(Connected),
}

impl From<HandshakeError> for Refusal {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::NotAnUpgrade => Self::NoUpgrade,
            error => Self::Handshake(error),
        }
    }
}

impl Handshakes {
    pub(crate) fn new(life: Arc<Lifecycle>, api: Arc<Api>) -> Self {
        Self { life, api }
    }

    /// Answers a handshake. To be run to its end even if the client leaves, as the API may have been
    /// asked by then.
    pub(crate) async fn connect(self, mut request: Request<Incoming>, peer: Peer) -> Answer {
        let upgrade = hyper::upgrade::on(&mut request);
        let (head, _) = request.into_parts();
        let connected = self.try_connect(&head, peer, upgrade).await;
        connected.unwrap_or_else(|refusal| self.refused(&refusal))
    }

    async fn try_connect(
        &self,
        head: &Parts,
        peer: Peer,
        upgrade: OnUpgrade,
    ) -> Result<Answer, Refusal> {
        // In HTTP/1.0 an Upgrade field is to be ignored (RFC 9110 section 7.8).
        if head.version == Version::HTTP_10 {
            return Err(Refusal::NoUpgrade);
        }
        let handshake = fetchway_ws::accept(&head.method, &head.headers)?;
        let (id, path) = client_id(head.uri.path()).map_err(Refusal::Path)?;
        let beyond = beyond(path, &head.uri).ok_or(Refusal::Path("the path leads up"))?;
        let (connection, others) = self.enter(&id, &head.headers, peer)?;
        let accepted = match self.ask(&connection, &others, &beyond, head, peer).await {
            Ok(response) => self.accept(&connection, &head.headers, &response, handshake),
            Err(outcome) => Err(outcome),
        };
        let answer = accepted.map_err(|outcome| {
            self.life.refuse(&connection);
            Refusal::Unwanted(outcome)
        })?;
        let life = self.life.clone();
        tokio::spawn(async move {
            match upgrade.await.ok().and_then(socket) {
                Some((socket, early)) => life.attach(connection, socket, early),
                // The client has left before its handshake was answered.
                None => life.disconnect(&connection),
            }
        });
        Ok(answer)
    }

    /// Enters a new connection in the table, if the client may have one. Returns the others with its id
    /// as well.
    fn enter(
        &self,
        id: &str,
        headers: &HeaderMap,
        peer: Peer,
    ) -> Result<(Arc<Connection>, Vec<Arc<Connection>>), Refusal> {
        let (life, config) = (&self.life, &self.life.config);
        if life.is_draining() {
            return Err(Refusal::Unwanted(Connected::Leaving));
        }
        let allowed = &config.allow_origins;
        if let Some(origin) = headers.get(ORIGIN)
            && !allowed.is_empty()
            && !allowed.contains(origin)
        {
            return Err(Refusal::Unwanted(Connected::Origin));
        }
        let address = address(&config.trusted_proxies, headers, peer);
        let admitted = life.table.admit(address, config);
        admitted.map_err(Refusal::Unwanted)?;
        let connection = Connection::new(id, life.next_epoch(), address, life.clock.now());
        let connection = Arc::new(connection);
        let alone = config.duplicate == Duplicate::Reject;
        let others = life.table.insert(&connection, alone).ok_or_else(|| {
            life.table.leave(address);
            Refusal::Unwanted(Connected::Duplicate)
        })?;
        Ok((connection, others))
    }

    /// Asks the API for a client.
    async fn ask(
        &self,
        connection: &Arc<Connection>,
        others: &[Arc<Connection>],
        beyond: &str,
        head: &Parts,
        peer: Peer,
    ) -> Result<Response<Bytes>, Connected> {
        let (life, config) = (&self.life, &self.life.config);
        if life.is_draining() {
            // Begun since the client was let in: the drain may have missed this connection.
            return Err(Connected::Leaving);
        }
        life.update_order(&connection.id);
        life.after_deletes(others).await;
        let mut headers = passed_on(&config.trusted_proxies, &head.headers, peer);
        let replaced = others.iter().rev().find(|other| !other.has_ended());
        if let (Some(replaced), Duplicate::Replace) = (replaced, config.duplicate)
            && let Ok(name) = HeaderValue::from_bytes(&self.api.connection_name(replaced))
        {
            headers.insert(REPLACES, name);
        }
        let asked = self.api.ask_for(connection, beyond, headers).await;
        let response = asked.map_err(|_| Connected::BadGateway)?;
        if response.status() == StatusCode::OK && response.body() == "ok" {
            return Ok(response);
        }
        let (gateway, client) = (&*config.name, &*connection.id);
        let body = response.body();
        let body = &body[..body.len().min(MAX_SHOWN)];
        tracing::debug!(
            gateway,
            client,
            status = response.status().as_u16(),
            body = %body.escape_ascii(),
            "the API did not accept a client: that takes 200 and the body `ok`"
        );
        Err(match response.status() {
            StatusCode::OK => Connected::Forbidden,
            _ => Connected::BadGateway,
        })
    }

    /// Accepts a client as the API has, and returns the answer to its handshake.
    fn accept(
        &self,
        connection: &Arc<Connection>,
        asked: &HeaderMap,
        response: &Response<Bytes>,
        handshake: Response<()>,
    ) -> Result<Answer, Connected> {
        if let Some(state) = response.headers().get(STATE) {
            self.life.attach_state(connection, state);
        }
        if !self.life.accepted(connection) {
            return Err(Connected::Duplicate);
        }
        let telemetry = &self.life.telemetry;
        telemetry.observer.connected(Connected::Accepted);
        let mut answer = handshake.map(|()| http_body_util::Full::default());
        if !copy_fields(asked, response.headers(), answer.headers_mut()) {
            telemetry.log.problem(Problem::Protocol, &*connection.id);
        }
        Ok(answer)
    }

    /// Counts a refused handshake, and returns the answer to it.
    fn refused(&self, refusal: &Refusal) -> Answer {
        let count = |outcome| self.life.telemetry.observer.connected(outcome);
        match refusal {
            Refusal::NoUpgrade => text(StatusCode::BAD_REQUEST, "no upgrade requested"),
            Refusal::Handshake(error) => {
                count(Connected::Malformed);
                let mut answer = text(error.status(), error.to_string());
                let version = HeaderValue::from_static("13");
                answer
                    .headers_mut()
                    .insert("sec-websocket-version", version);
                answer
            }
            Refusal::Path(why) => {
                count(Connected::Malformed);
                text(StatusCode::BAD_REQUEST, *why)
            }
            Refusal::Unwanted(outcome) => {
                count(*outcome);
                let (status, why) = explain(*outcome);
                let mut answer = text(status, why);
                if *outcome == Connected::Full {
                    answer.headers_mut().insert(RETRY_AFTER, COME_AGAIN);
                }
                answer
            }
        }
    }
}

/// Returns status and text of the answer to a client that is not wanted.
fn explain(outcome: Connected) -> (StatusCode, &'static str) {
    match outcome {
        Connected::Accepted => (StatusCode::SWITCHING_PROTOCOLS, ""),
        Connected::Malformed => (StatusCode::BAD_REQUEST, "bad request"),
        Connected::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        Connected::BadGateway => (StatusCode::BAD_GATEWAY, "bad gateway"),
        Connected::Origin => (
            StatusCode::FORBIDDEN,
            "pages of this origin may not connect",
        ),
        Connected::Full => (
            StatusCode::SERVICE_UNAVAILABLE,
            "this gateway has as many clients as it may have",
        ),
        Connected::Address => (
            StatusCode::TOO_MANY_REQUESTS,
            "too many connections from this address",
        ),
        Connected::Duplicate => (StatusCode::CONFLICT, "another connection has this id"),
        Connected::Leaving => (
            StatusCode::SERVICE_UNAVAILABLE,
            "this gateway is shutting down",
        ),
    }
}

/// Returns the socket itself, and the bytes that were read behind the handshake.
fn socket(upgraded: Upgraded) -> Option<(Socket, Bytes)> {
    let upgraded = match upgraded.downcast::<TokioIo<tokio::net::TcpStream>>() {
        Ok(parts) => {
            let tcp = plain(parts.io.into_inner())?;
            return Some((Socket::Plain(tcp), parts.read_buf));
        }
        Err(upgraded) => upgraded,
    };
    let parts = upgraded
        .downcast::<TokioIo<TlsStream<tokio::net::TcpStream>>>()
        .ok()?;
    let (tcp, session) = parts.io.into_inner().into_inner();
    Some((Socket::tls(plain(tcp)?, session), parts.read_buf))
}

/// Takes a socket out of tokio's epoll set. The socket stays non-blocking.
fn plain(tcp: tokio::net::TcpStream) -> Option<TcpStream> {
    tcp.into_std().ok()
}

/// Copies the fields of the API's response that the client gets: its choice of subprotocol, if the client
/// has asked for that, and all that are neither about the response itself nor about the connection.
///
/// Returns false if the API has chosen a subprotocol that was not asked for.
fn copy_fields(asked: &HeaderMap, response: &HeaderMap, answer: &mut HeaderMap) -> bool {
    for (name, value) in response {
        let about = [
            CONNECTION,
            UPGRADE,
            TRANSFER_ENCODING,
            CONTENT_LENGTH,
            CONTENT_TYPE,
            CONTENT_ENCODING,
            DATE,
            SERVER,
        ];
        let websocket = name.as_str().starts_with("sec-websocket-");
        if !websocket && !is_reserved(name) && !about.contains(name) {
            answer.append(name, value.clone());
        }
    }
    let Some(chosen) = response.get(SEC_WEBSOCKET_PROTOCOL) else {
        return true;
    };
    let offered = asked.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let offered = offered
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .any(|offer| offer.trim_ascii() == chosen.as_bytes());
    if offered {
        answer.insert(SEC_WEBSOCKET_PROTOCOL, chosen.clone());
    }
    offered
}
