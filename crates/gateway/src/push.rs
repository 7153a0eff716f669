//! The API's own requests: a message to a client, its dismissal, a question about it.

use std::sync::Arc;

use bytes::Bytes;
use fetchway_ws::{CloseCode, Opcode};
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;

use crate::config::Push;
use crate::conn::{Broken, Conn, Phase};
use crate::connect::{Reply, reply};
use crate::deliver::is_text;
use crate::gateway::{Gateway, Inner, Peer};
use crate::observe::Pushed;
use crate::request::client_id;
use crate::stats::add;
use crate::traffic::EOF;
use crate::unread::{pass_over, read_on};

const NO_HOST: &str = "HTTP/1.1 demands one Host field";

/// Close code of a dismissal that names none.
const DISMISSED: u16 = 1000;

impl Gateway {
    /// A request on the clients' listener.
    pub async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Reply {
        let inner = &self.0;
        let may_push = peer.authorized || inner.config.push == Push::Open;
        if !names_host(&request) {
            return reply(StatusCode::BAD_REQUEST, NO_HOST);
        }
        match *request.method() {
            // What says Upgrade is a handshake: a proxy may let nothing else through.
            Method::GET if request.uri().path() == "/" && asks_about(&request) => {
                reply(StatusCode::OK, inner.counters.stats().lines())
            }
            Method::GET if asks_about(&request) && peer.authorized => inner.tell_of(&request),
            Method::GET if asks_about(&request) && inner.is_wrong_token(&request) => unauthorized(),
            Method::GET => {
                // A task of its own: the API may have been asked when the client leaves.
                let connecting = tokio::spawn(inner.clone().connect(request, peer));
                connecting.await.unwrap_or_else(|_| {
                    let why = "the handshake failed in a way that is a fault of fetchway";
                    reply(StatusCode::INTERNAL_SERVER_ERROR, why)
                })
            }
            Method::POST | Method::DELETE if !may_push => {
                inner.observer.pushed(Pushed::Unauthorized);
                let (head, mut body) = request.into_parts();
                pass_over(&head.headers, &mut body).await;
                unauthorized()
            }
            _ => inner.control(request).await,
        }
    }

    /// A request on the push listener: whoever reaches it may push.
    pub async fn handle_push(&self, request: Request<Incoming>) -> Reply {
        if !names_host(&request) {
            return reply(StatusCode::BAD_REQUEST, NO_HOST);
        }
        match *request.method() {
            Method::GET => self.0.tell_of(&request),
            _ => self.0.control(request).await,
        }
    }
}

/// Whether a GET is no handshake. In HTTP/1.0 there is none (RFC 9110 section 7.8).
fn asks_about(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_10 || !request.headers().contains_key(UPGRADE)
}

/// RFC 9112 section 3.2: exactly one, but in HTTP/1.0.
fn names_host(request: &Request<Incoming>) -> bool {
    let hosts = request.headers().get_all(HOST).iter().count();
    hosts == 1 || hosts == 0 && request.version() == Version::HTTP_10
}

fn unauthorized() -> Reply {
    let mut refused = reply(StatusCode::UNAUTHORIZED, "unauthorized");
    let challenge = HeaderValue::from_static("Bearer realm=\"fetchway\"");
    refused.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    refused
}

impl Inner {
    /// Whether a request that has not shown the push token shows something else in its place.
    fn is_wrong_token(&self, request: &Request<Incoming>) -> bool {
        self.config.push == Push::Token && request.headers().contains_key(AUTHORIZATION)
    }

    async fn control(self: &Arc<Self>, request: Request<Incoming>) -> Reply {
        let (head, mut body) = request.into_parts();
        let answer = match client_id(head.uri.path()) {
            Ok((id, "")) => match head.method {
                Method::POST => return self.push(&id, &head.headers, body).await,
                Method::DELETE => self.dismiss(&id, head.uri.query().unwrap_or_default()),
                _ => {
                    let mut refused = reply(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
                    let allowed = HeaderValue::from_static("GET, POST, DELETE");
                    refused.headers_mut().insert(ALLOW, allowed);
                    refused
                }
            },
            Ok(_) => {
                let why = "the path goes on after the client id";
                reply(StatusCode::BAD_REQUEST, why)
            }
            Err(why) => reply(StatusCode::BAD_REQUEST, why),
        };
        pass_over(&head.headers, &mut body).await;
        answer
    }

    async fn push(self: &Arc<Self>, id: &str, headers: &HeaderMap, mut body: Incoming) -> Reply {
        let most = self.config.max_message;
        let announced = body.size_hint().lower();
        let read = if announced > most as u64 {
            pass_over(headers, &mut body).await;
            None
        } else {
            match Limited::new(&mut body, most).collect().await {
                Ok(whole) => Some(whole.to_bytes()),
                Err(error) if error.is::<LengthLimitError>() => {
                    read_on(&mut body).await;
                    None
                }
                // The API has broken off: nobody hears this.
                Err(_) => return reply(StatusCode::BAD_REQUEST, "the body is not whole"),
            }
        };
        let pushed = match read {
            None => Pushed::TooLong,
            Some(body) => {
                let text = is_text(headers.get(CONTENT_TYPE), &body);
                self.push_to(id, text, &body)
            }
        };
        self.observer.pushed(pushed);
        let (status, text) = match pushed {
            Pushed::Sent => (StatusCode::OK, "ok"),
            Pushed::Queued => (StatusCode::ACCEPTED, "queued"),
            Pushed::Unknown => (StatusCode::NOT_FOUND, "not found"),
            Pushed::Gone => (StatusCode::GONE, "gone"),
            Pushed::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "message too long"),
            Pushed::Full => (
                StatusCode::TOO_MANY_REQUESTS,
                "too much waits for the client",
            ),
            Pushed::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
        };
        reply(status, text)
    }

    /// Pushes to whoever has the id: with `many` to all of them, and the best that became of it counts;
    /// else to the newest, as a client that reconnects hears nothing on its old connection.
    fn push_to(self: &Arc<Self>, id: &str, text: bool, body: &[u8]) -> Pushed {
        let mut best = None;
        let conns = self.table.find(id);
        for conn in conns.iter().rev() {
            let pushed = self.send_within(self.config.send_buffer, conn, text, body);
            if pushed == Pushed::Gone {
                continue;
            }
            if self.config.duplicate != crate::config::Duplicate::Many {
                return pushed;
            }
            best = match (best, pushed) {
                (Some(Pushed::Sent), _) | (_, Pushed::Sent) => Some(Pushed::Sent),
                (Some(Pushed::Queued), _) | (_, Pushed::Queued) => Some(Pushed::Queued),
                (_, other) => Some(other),
            };
        }
        best.unwrap_or_else(|| match self.has_gone(id, &conns) {
            true => Pushed::Gone,
            false => Pushed::Unknown,
        })
    }

    /// Whether somebody with this id was there until just now; `conns` are those that the table has of
    /// it, as long as the API has not heard of their end.
    fn has_gone(&self, id: &str, conns: &[Arc<Conn>]) -> bool {
        let ended = |conn: &Arc<Conn>| {
            let state = conn.lock();
            state.is_counted && (state.order.has_ended() || state.phase >= Phase::Closing)
        };
        conns.iter().any(ended) || self.table.has_just_gone(id)
    }

    /// Sends a message to a client, whatever waits for it already: no further one is asked for before it
    /// has taken that.
    pub(crate) fn send(self: &Arc<Self>, conn: &Arc<Conn>, text: bool, body: &[u8]) -> Pushed {
        self.send_within(usize::MAX, conn, text, body)
    }

    /// The same if at most so many bytes will wait then, or none do now.
    fn send_within(
        self: &Arc<Self>,
        most: usize,
        conn: &Arc<Conn>,
        text: bool,
        body: &[u8],
    ) -> Pushed {
        let sent = {
            let mut state = conn.lock();
            if state.order.has_ended() || state.phase >= Phase::Closing {
                return Pushed::Gone;
            }
            if state.unsent() > 0 && state.unsent() + body.len() > most {
                return Pushed::Full;
            }
            let opcode = if text { Opcode::Text } else { Opcode::Binary };
            let framed = state.frame(opcode, body, self.now());
            framed.map(|()| state.unsent() > 0 || state.is_blocked())
        };
        match sent {
            Ok(waits) => {
                add(&self.counters.messages_out);
                if waits { Pushed::Queued } else { Pushed::Sent }
            }
            Err(Broken) => {
                self.gone(conn, EOF);
                Pushed::Gone
            }
        }
    }

    /// `DELETE /<ClientId>?code=4000&reason=…`
    fn dismiss(self: &Arc<Self>, id: &str, query: &str) -> Reply {
        let (mut code, mut reason) = (DISMISSED, String::new());
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "code" => match value.parse() {
                    Ok(asked @ (1000 | 3000..=4999)) => code = asked,
                    _ => {
                        let why = "the code is neither 1000 nor 3000 to 4999";
                        return reply(StatusCode::BAD_REQUEST, why);
                    }
                },
                "reason" => reason = value.into_owned(),
                _ => return reply(StatusCode::BAD_REQUEST, "only code and reason are known"),
            }
        }
        let code = CloseCode::Private(code);
        let (mut found, mut awaited) = (false, false);
        let conns = self.table.find(id);
        for conn in &conns {
            let mut state = conn.lock();
            match state.phase {
                Phase::Open => found = true,
                Phase::Connecting | Phase::Accepted => {
                    // As soon as its socket is there.
                    awaited = true;
                    state.traffic().dismissed = Some(Box::new((code, reason.clone())));
                }
                Phase::Closing | Phase::Gone => {}
            }
            drop(state);
            self.close(conn, code, &reason);
        }
        match (found, awaited, self.has_gone(id, &conns)) {
            (true, ..) => reply(StatusCode::OK, "ok"),
            (_, true, _) => reply(StatusCode::ACCEPTED, "queued"),
            (.., true) => reply(StatusCode::GONE, "gone"),
            (.., false) => reply(StatusCode::NOT_FOUND, "not found"),
        }
    }

    /// `GET /<ClientId>`: what is known of its connections, a line each.
    fn tell_of(&self, request: &Request<Incoming>) -> Reply {
        let id = match client_id(request.uri().path()) {
            Ok((id, _)) => id,
            Err(_) if request.uri().path() == "/" => {
                return reply(StatusCode::OK, self.counters.stats().lines());
            }
            Err(why) => return reply(StatusCode::BAD_REQUEST, why),
        };
        let now = self.now();
        let mut told = Vec::new();
        for conn in self.table.find(&id) {
            let state = conn.lock();
            if state.order.has_ended() {
                continue;
            }
            let seconds = |since: u32| f64::from(now.saturating_sub(since)) / 10.0;
            told.push(format!(
                "{{\"connection\":\"{}\",\"epoch\":{},\"address\":\"{}\",\"open\":{},\
                 \"connectedSeconds\":{:.1},\"idleSeconds\":{:.1},\"bufferedBytes\":{},\
                 \"waitingMessages\":{}}}",
                String::from_utf8_lossy(&self.name(&conn)),
                conn.epoch,
                conn.address,
                state.phase == Phase::Open,
                seconds(state.since),
                seconds(state.heard),
                state.unsent(),
                state.order.waiting(),
            ));
        }
        if told.is_empty() {
            return reply(StatusCode::NOT_FOUND, "not found");
        }
        let body = Bytes::from(format!("[{}]\n", told.join(",")));
        let mut answer = reply(StatusCode::OK, body);
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(CONTENT_TYPE, json);
        answer
    }
}
