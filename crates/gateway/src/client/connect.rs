//! A client connects: its handshake is checked, the API asked, and the socket handed to a reactor.

use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use fetchway_service::problem::{Answer, text, with_field};
use fetchway_ws::HandshakeError;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, ORIGIN, RETRY_AFTER,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, SERVER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_rustls::server::TlsStream;

use super::connection::Connection;
use super::handshake::{Peer, address, beyond, client_id, is_reserved, passed_on};
use super::lifecycle::Lifecycle;
use super::socket::Socket;
use crate::api::STATE;
use crate::config::Duplicate;
use crate::error_log::Problem;
use crate::observe::Connected;

const REPLACES: HeaderName = HeaderName::from_static("fetchway-replaces");

/// Seconds after which a client may retry that was refused because the gateway is full.
const FULL_RETRY_AFTER: &str = "5";

/// Bytes of a refusal's body that the log shows.
const MAX_SHOWN: usize = 100;

/// The reason why a client does not get its connection.
enum Refusal {
    /// The request is no handshake at all, and not counted as one.
    NoUpgrade,
    /// The request is not a handshake of RFC 6455, or its path names no client.
    Malformed(StatusCode, String),
    /// The gateway or the API does not accept the client.
    Unwanted(Connected),
}

impl From<HandshakeError> for Refusal {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::NotAnUpgrade => Self::NoUpgrade,
            error => Self::Malformed(error.status(), error.to_string()),
        }
    }
}

/// A client's handshake.
struct Handshake {
    life: Arc<Lifecycle>,
    head: Parts,
    peer: Peer,
}

/// Answers a handshake. Must be run to its end even if the client leaves, as the API may have been asked by
/// then.
pub(crate) async fn connect(
    life: Arc<Lifecycle>,
    mut request: Request<Incoming>,
    peer: Peer,
) -> Answer {
    let upgrade = hyper::upgrade::on(&mut request);
    let (head, _) = request.into_parts();
    let handshake = Handshake { life, head, peer };
    let (connection, answer) = match handshake.accept().await {
        Ok(accepted) => accepted,
        Err(refusal) => return handshake.refuse(refusal),
    };
    let life = handshake.life;
    tokio::spawn(async move {
        match upgrade.await.ok().and_then(socket) {
            Some((socket, early)) => life.attach(connection, socket, early),
            // The client has left before its handshake was answered.
            None => life.disconnect(&connection),
        }
    });
    answer
}

impl Handshake {
    /// Checks the handshake and asks the API. Returns the accepted connection and the answer to the client.
    async fn accept(&self) -> Result<(Arc<Connection>, Answer), Refusal> {
        let head = &self.head;
        // In HTTP/1.0 an Upgrade field is to be ignored (RFC 9110 section 7.8).
        if head.version == Version::HTTP_10 {
            return Err(Refusal::NoUpgrade);
        }
        let mut answer =
            fetchway_ws::accept(&head.method, &head.headers)?.map(|()| Full::default());
        let malformed = |why: &str| Refusal::Malformed(StatusCode::BAD_REQUEST, why.to_owned());
        let (id, path) = client_id(head.uri.path()).map_err(malformed)?;
        let beyond = beyond(path, &head.uri).ok_or_else(|| malformed("the path leads up"))?;
        let (connection, others) = self.enter(&id).map_err(Refusal::Unwanted)?;
        let accepted = match self.ask(&connection, &others, &beyond).await {
            Ok(response) => self.take_up(&connection, &response, answer.headers_mut()),
            Err(outcome) => Err(outcome),
        };
        accepted.map_err(|outcome| {
            self.life.refuse(&connection);
            Refusal::Unwanted(outcome)
        })?;
        Ok((connection, answer))
    }

    /// Enters a new connection in the table, if the client may have one. Returns the others with its id
    /// as well.
    fn enter(&self, id: &str) -> Result<(Arc<Connection>, Vec<Arc<Connection>>), Connected> {
        let (life, config, headers) = (&self.life, &self.life.config, &self.head.headers);
        if life.is_draining() {
            return Err(Connected::Leaving);
        }
        let allowed = &config.allow_origins;
        if let Some(origin) = headers.get(ORIGIN)
            && !allowed.is_empty()
            && !allowed.contains(origin)
        {
            return Err(Connected::Origin);
        }
        let address = address(&config.trusted_proxies, headers, self.peer);
        life.table.admit(address, config)?;
        let connection = Connection::new(id, life.next_epoch(), address, life.clock.now());
        let connection = Arc::new(connection);
        let alone = config.duplicate == Duplicate::Reject;
        let others = life.table.insert(&connection, alone).ok_or_else(|| {
            life.table.leave(address);
            Connected::Duplicate
        })?;
        Ok((connection, others))
    }

    /// Asks the API for a client.
    async fn ask(
        &self,
        connection: &Arc<Connection>,
        others: &[Arc<Connection>],
        beyond: &str,
    ) -> Result<Response<Bytes>, Connected> {
        let (life, config) = (&self.life, &self.life.config);
        if life.is_draining() {
            // Begun since the client was let in: the drain may have missed this connection.
            return Err(Connected::Leaving);
        }
        life.update_order(&connection.id);
        life.after_deletes(others).await;
        let mut headers = passed_on(&config.trusted_proxies, &self.head.headers, self.peer);
        let replaced = others.iter().rev().find(|other| !other.has_ended());
        if let (Some(replaced), Duplicate::Replace) = (replaced, config.duplicate)
            && let Ok(name) = HeaderValue::from_bytes(&life.api.connection_name(replaced))
        {
            headers.insert(REPLACES, name);
        }
        let asked = life.api.ask_for(connection, beyond, headers).await;
        let response = asked.map_err(|_| Connected::BadGateway)?;
        let (status, body) = (response.status(), response.body());
        if status == StatusCode::OK && body == "ok" {
            return Ok(response);
        }
        tracing::debug!(
            gateway = config.name,
            client = &*connection.id,
            status = status.as_u16(),
            body = %body[..body.len().min(MAX_SHOWN)].escape_ascii(),
            "the API did not accept a client; it does by status 200 with the body `ok`"
        );
        Err(match status {
            StatusCode::OK => Connected::Forbidden,
            _ => Connected::BadGateway,
        })
    }

    /// Takes up a client that the API has accepted, and adds the fields of the API's response to `answer`.
    fn take_up(
        &self,
        connection: &Arc<Connection>,
        response: &Response<Bytes>,
        answer: &mut HeaderMap,
    ) -> Result<(), Connected> {
        if let Some(state) = response.headers().get(STATE) {
            self.life.attach_state(connection, state);
        }
        if !self.life.accepted(connection) {
            return Err(Connected::Duplicate);
        }
        let telemetry = &self.life.telemetry;
        telemetry.observer.connected(Connected::Accepted);
        if !copy_fields(&self.head.headers, response.headers(), answer) {
            telemetry.log.problem(Problem::Protocol, &*connection.id);
        }
        Ok(())
    }

    /// Counts a refused handshake, and returns the answer to it.
    fn refuse(&self, refusal: Refusal) -> Answer {
        let count = |outcome| self.life.telemetry.observer.connected(outcome);
        match refusal {
            Refusal::NoUpgrade => text(StatusCode::BAD_REQUEST, "no upgrade requested"),
            Refusal::Malformed(status, why) => {
                count(Connected::Malformed);
                with_field(text(status, why), SEC_WEBSOCKET_VERSION, "13")
            }
            Refusal::Unwanted(outcome) => {
                count(outcome);
                let (status, why) = explain(outcome);
                let answer = text(status, why);
                match outcome {
                    Connected::Full => with_field(answer, RETRY_AFTER, FULL_RETRY_AFTER),
                    _ => answer,
                }
            }
        }
    }
}

/// Returns status and text of the answer to a client that is not accepted.
fn explain(outcome: Connected) -> (StatusCode, &'static str) {
    match outcome {
        Connected::Accepted => (StatusCode::SWITCHING_PROTOCOLS, ""),
        Connected::Malformed => (StatusCode::BAD_REQUEST, "bad request"),
        Connected::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        Connected::BadGateway => (StatusCode::BAD_GATEWAY, "bad gateway"),
        Connected::Origin => (StatusCode::FORBIDDEN, "this web origin may not connect"),
        Connected::Full => (StatusCode::SERVICE_UNAVAILABLE, "too many clients"),
        Connected::Address => (
            StatusCode::TOO_MANY_REQUESTS,
            "too many clients of this address",
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
