//! A client connects: the upgrade is checked, the API asked, the socket handed over.

use std::net::{IpAddr, TcpStream};
use std::sync::Arc;

use bytes::Bytes;
use fetchway_ws::HandshakeError;
use http::header::{
    self, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, ORIGIN,
    SEC_WEBSOCKET_PROTOCOL, SERVER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_rustls::server::TlsStream;

use crate::config::Duplicate;
use crate::conn::{Conn, Phase};
use crate::deliver::{Answer, STATE};
use crate::gateway::{Inner, Peer};
use crate::observe::Connected;
use crate::request::{beyond, client_id, is_reserved};
use crate::socket::Socket;
use crate::traffic::EOF;
use crate::trouble::Trouble;

const REPLACES: HeaderName = HeaderName::from_static("fetchway-replaces");

/// Seconds after which a client may come again that finds the gateway full.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Bytes of a refusal's body that the log shows.
const MAX_SHOWN: usize = 100;

/// What goes back by HTTP.
pub(crate) type Reply = Response<Full<Bytes>>;

/// A short text.
pub(crate) fn reply(status: StatusCode, text: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(text.into()));
    *reply.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

impl Inner {
    /// A handshake. It goes on if the client leaves meanwhile, as the API may have been asked by then.
    pub(crate) async fn connect(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        peer: Peer,
    ) -> Reply {
        // In HTTP/1.0 an Upgrade field is to be passed over (RFC 9110 section 7.8).
        let accepted = match request.version() {
            Version::HTTP_10 => Err(HandshakeError::NotAnUpgrade),
            _ => fetchway_ws::accept(request.method(), request.headers()),
        };
        let handshake = match accepted {
            Ok(handshake) => handshake,
            Err(HandshakeError::NotAnUpgrade) => {
                return reply(StatusCode::BAD_REQUEST, "no upgrade requested");
            }
            Err(error) => {
                let mut refused = self.malformed(error.status(), error.to_string());
                let version = HeaderValue::from_static("13");
                refused
                    .headers_mut()
                    .insert("sec-websocket-version", version);
                return refused;
            }
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let (head, _) = request.into_parts();
        let (id, rest) = match client_id(head.uri.path()) {
            Ok(id) => id,
            Err(why) => return self.malformed(StatusCode::BAD_REQUEST, why),
        };
        let Some(beyond) = beyond(rest, &head.uri) else {
            return self.malformed(StatusCode::BAD_REQUEST, "the path leads up");
        };
        let address = self.address(&head.headers, peer);
        if let Err(what) = self.admit(&head.headers, address) {
            return self.refused(what);
        }
        let conn = Arc::new(Conn::new(&id, self.epoch(), address, self.now()));
        let alone = self.config.duplicate == Duplicate::Reject;
        let Some(others) = self.table.insert(&conn, alone) else {
            self.table.leave(address);
            return self.refused(Connected::Duplicate);
        };
        if self.is_leaving() {
            // Since it was let in: those who send all away may have overlooked it.
            return self.refuse(&conn, Connected::Leaving);
        }
        self.settle(&id);
        self.after_deletes(&others).await;
        let mut headers = self.passed_on(&head.headers, peer);
        self.mark(&conn, 0, &mut headers);
        let replaced = others.iter().rev().find(|other| !other.has_ended());
        if let (Some(replaced), Duplicate::Replace) = (replaced, self.config.duplicate)
            && let Ok(name) = HeaderValue::from_bytes(&self.name(replaced))
        {
            headers.insert(REPLACES, name);
        }
        let mut url = self.url(&id);
        let (path, query) = match beyond.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*beyond, None),
        };
        url.set_path(&format!("{}{path}", url.path()));
        url.set_query(query);
        let asked = self
            .ask(&conn, None, (Method::GET, url), headers, Bytes::new())
            .await;
        let answer = match asked {
            Ok(answer) if answer.status == StatusCode::OK && answer.body == "ok" => answer,
            Ok(answer) => return self.not_accepted(&conn, &answer),
            Err(_) => return self.refuse(&conn, Connected::BadGateway),
        };
        self.accept(conn, &head.headers, &answer, handshake, upgrade)
    }

    /// The API has answered, but not with 200 and `ok`.
    fn not_accepted(self: &Arc<Self>, conn: &Arc<Conn>, answer: &Answer) -> Reply {
        let (gateway, client) = (&*self.config.name, &*conn.id);
        let body = &answer.body[..answer.body.len().min(MAX_SHOWN)];
        tracing::debug!(
            gateway,
            client,
            status = answer.status.as_u16(),
            body = %body.escape_ascii(),
            "the API did not accept a client: that takes 200 and the body `ok`"
        );
        match answer.status {
            StatusCode::OK => self.refuse(conn, Connected::Forbidden),
            _ => self.refuse(conn, Connected::BadGateway),
        }
    }

    /// Counts a client before the API is asked for it.
    ///
    /// # Errors
    /// What keeps it out. It is not counted then.
    fn admit(&self, headers: &HeaderMap, address: IpAddr) -> Result<(), Connected> {
        if self.is_leaving() {
            return Err(Connected::Leaving);
        }
        let allowed = &self.config.allow_origins;
        if let Some(origin) = headers.get(ORIGIN)
            && !allowed.is_empty()
            && !allowed.contains(origin)
        {
            return Err(Connected::Origin);
        }
        self.table.admit(address, &self.config)
    }

    fn malformed(&self, status: StatusCode, why: impl Into<Bytes>) -> Reply {
        self.observer.connected(Connected::Malformed);
        reply(status, why)
    }

    fn refused(&self, what: Connected) -> Reply {
        self.observer.connected(what);
        let (status, why) = match what {
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
        };
        let mut refused = reply(status, why);
        if what == Connected::Full {
            refused
                .headers_mut()
                .insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        refused
    }

    /// The API does not want it, or cannot say so. What was pushed to it meanwhile goes to the one that
    /// it would have replaced.
    fn refuse(self: &Arc<Self>, conn: &Arc<Conn>, what: Connected) -> Reply {
        let pushed = {
            let mut state = conn.lock();
            if state.phase == Phase::Gone {
                // It was cut off meanwhile.
                return self.refused(what);
            }
            state.phase = Phase::Gone;
            state.traffic.take().map(|traffic| traffic.out)
        };
        self.table.leave(conn.address);
        if let Some(pushed) = pushed.filter(|pushed| !pushed.is_empty()) {
            let others = self.table.find(&conn.id);
            if let Some(other) = others.iter().rev().find(|other| other.is_open()) {
                // One that breaks at this very moment is found broken by its next event.
                let _ = other.lock().bytes(&pushed, self.now());
            }
        }
        self.ended(conn, EOF);
        self.refused(what)
    }

    fn accept(
        self: Arc<Self>,
        conn: Arc<Conn>,
        asked: &HeaderMap,
        answer: &Answer,
        handshake: Response<()>,
        upgrade: OnUpgrade,
    ) -> Reply {
        if let Some(state) = answer.headers.get(STATE) {
            self.attach_state(&conn, state);
        }
        if !self.accepted(&conn) {
            return self.refuse(&conn, Connected::Duplicate);
        }
        self.observer.connected(Connected::Accepted);
        let mut reply = handshake.map(|()| Full::default());
        if !hand_on(asked, &answer.headers, reply.headers_mut()) {
            self.trouble(Trouble::Protocol, &*conn.id);
        }
        tokio::spawn(async move {
            match upgrade.await.ok().and_then(socket) {
                Some((socket, early)) => self.attach(&conn, socket, &early),
                // It has left before its handshake was answered.
                None => self.gone(&conn, EOF),
            }
        });
        reply
    }

    /// The socket is here.
    fn attach(self: &Arc<Self>, conn: &Arc<Conn>, socket: Socket, early: &[u8]) {
        let mut state = conn.lock();
        if state.phase == Phase::Gone {
            // It was cut off meanwhile.
            return;
        }
        state.reactor = self.reactor();
        let reactor = &self.reactors[usize::from(state.reactor)];
        state.slot = reactor.place(conn);
        let (fd, now) = (socket.fd(), self.now());
        state.socket = Some(socket);
        (state.heard, state.phase) = (now, Phase::Open);
        // What was pushed before the socket was there could not be taken until now.
        let mut dismissed = None;
        if let Some(traffic) = &mut state.traffic {
            traffic.stalled_since = now;
            dismissed = traffic.dismissed.take();
        }
        let flushed = state.flush(now);
        state.rest();
        // Before the reactor can read what comes behind it.
        let next = self.begin(&mut state, early);
        let watched = reactor.watch(state.slot, fd);
        if flushed.is_err() || watched.is_err() {
            drop(state);
            return self.gone(conn, EOF);
        }
        self.go_on(conn, state, next);
        self.close_if_replaced(conn);
        if let Some(dismissed) = dismissed {
            self.close(conn, dismissed.0, &dismissed.1);
        }
        if self.is_leaving() {
            self.send_away(conn);
        }
    }
}

/// The socket itself, and what was read beyond the handshake.
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

/// Out of tokio's set; it stays non-blocking.
fn plain(tcp: tokio::net::TcpStream) -> Option<TcpStream> {
    tcp.into_std().ok()
}

/// What of the API's answer the client gets: its choice of subprotocol, if that was asked for, and its
/// fields, but for those that are about the answer itself or about the connection.
///
/// Gives false if it has chosen a subprotocol that was not asked for.
fn hand_on(asked: &HeaderMap, answer: &HeaderMap, reply: &mut HeaderMap) -> bool {
    for (name, value) in answer {
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
            reply.append(name, value.clone());
        }
    }
    let Some(chosen) = answer.get(SEC_WEBSOCKET_PROTOCOL) else {
        return true;
    };
    let offered = asked.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let offered = offered
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .any(|offer| offer.trim_ascii() == chosen.as_bytes());
    if offered {
        reply.insert(SEC_WEBSOCKET_PROTOCOL, chosen.clone());
    }
    offered
}
