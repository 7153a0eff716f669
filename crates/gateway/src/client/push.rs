//! The API's own requests: a message to a client, its dismissal, a question about it.

use std::net::IpAddr;
use std::sync::Arc;

use fetchway_ws::CloseCode;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Serialize;

use super::connection::{Connection, Phase};
use super::handshake::client_id;
use super::http::{Answer, discard, pass_over, text};
use super::lifecycle::Lifecycle;
use crate::api::{Api, is_text};
use crate::config::{Duplicate, Push};
use crate::observe::Pushed;

/// Close code of a dismissal that names none.
const DISMISSED: u16 = 1000;

/// Answers the API's own requests.
pub(crate) struct Pushes {
    life: Arc<Lifecycle>,
    api: Arc<Api>,
}

/// One connection of a client, as the API is told of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    connection: String,
    epoch: u64,
    address: IpAddr,
    open: bool,
    connected_seconds: f64,
    idle_seconds: f64,
    buffered_bytes: usize,
    waiting_messages: usize,
}

impl Pushes {
    pub(crate) fn new(life: Arc<Lifecycle>, api: Arc<Api>) -> Self {
        Self { life, api }
    }

    /// Answers a request on the clients' listener that is no GET.
    pub(crate) async fn handle(&self, request: Request<Incoming>, authorized: bool) -> Answer {
        let may_push = authorized || self.life.config.push == Push::Open;
        if may_push || !matches!(*request.method(), Method::POST | Method::DELETE) {
            return self.control(request).await;
        }
        let observer = &self.life.telemetry.observer;
        observer.pushed(Pushed::Unauthorized);
        let (head, mut body) = request.into_parts();
        pass_over(&head.headers, &mut body).await;
        unauthorized()
    }

    /// Answers a GET on the clients' listener that is no handshake; nothing if the sender has shown
    /// neither the credential nor something in its place.
    pub(crate) fn query(&self, request: &Request<Incoming>, authorized: bool) -> Option<Answer> {
        let shows_token = request.headers().contains_key(AUTHORIZATION);
        if request.uri().path() == "/" || authorized {
            Some(self.describe(request))
        } else if shows_token && self.life.config.push == Push::Token {
            Some(unauthorized())
        } else {
            None
        }
    }

    /// Answers a request of a sender that may push.
    pub(crate) async fn control(&self, request: Request<Incoming>) -> Answer {
        let (head, mut body) = request.into_parts();
        let answer = match client_id(head.uri.path()) {
            Ok((id, "")) => match head.method {
                Method::POST => return self.push(&id, &head.headers, body).await,
                Method::DELETE => self.dismiss(&id, head.uri.query().unwrap_or_default()),
                _ => {
                    let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
                    let allowed = HeaderValue::from_static("GET, POST, DELETE");
                    refused.headers_mut().insert(ALLOW, allowed);
                    refused
                }
            },
            Ok(_) => {
                let why = "the path goes on after the client id";
                text(StatusCode::BAD_REQUEST, why)
            }
            Err(why) => text(StatusCode::BAD_REQUEST, why),
        };
        pass_over(&head.headers, &mut body).await;
        answer
    }

    async fn push(&self, id: &str, headers: &HeaderMap, mut body: Incoming) -> Answer {
        let most = self.life.config.max_message;
        let announced = body.size_hint().lower();
        let read = if announced > most as u64 {
            pass_over(headers, &mut body).await;
            None
        } else {
            match Limited::new(&mut body, most).collect().await {
                Ok(whole) => Some(whole.to_bytes()),
                Err(error) if error.is::<LengthLimitError>() => {
                    discard(&mut body).await;
                    None
                }
                // The API has broken off: nobody reads this.
                Err(_) => return text(StatusCode::BAD_REQUEST, "the body is not whole"),
            }
        };
        let pushed = match read {
            None => Pushed::TooLong,
            Some(body) => {
                let is_text = is_text(headers.get(CONTENT_TYPE), &body);
                self.push_to(id, is_text, &body)
            }
        };
        self.life.telemetry.observer.pushed(pushed);
        let (status, why) = match pushed {
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
        text(status, why)
    }

    /// Pushes to the newest connection with the id, as a client that reconnects hears nothing on its old
    /// one. With `many` all get the push, and the best outcome counts.
    fn push_to(&self, id: &str, is_text: bool, body: &[u8]) -> Pushed {
        let mut best = None;
        let connections = self.life.table.find(id);
        for connection in connections.iter().rev() {
            let limit = self.life.config.send_buffer;
            let pushed = self.life.send(connection, is_text, body, limit);
            if pushed == Pushed::Gone {
                continue;
            }
            if self.life.config.duplicate != Duplicate::Many {
                return pushed;
            }
            best = match (best, pushed) {
                (Some(Pushed::Sent), _) | (_, Pushed::Sent) => Some(Pushed::Sent),
                (Some(Pushed::Queued), _) | (_, Pushed::Queued) => Some(Pushed::Queued),
                (_, other) => Some(other),
            };
        }
        best.unwrap_or_else(|| match self.has_gone(id, &connections) {
            true => Pushed::Gone,
            false => Pushed::Unknown,
        })
    }

    /// Returns true if a client with this id was there until just now. `connections` are those that the
    /// table has of the id, as long as the API has not heard of their end.
    fn has_gone(&self, id: &str, connections: &[Arc<Connection>]) -> bool {
        let ended = |connection: &Arc<Connection>| {
            let state = connection.lock();
            state.is_counted && state.order.has_ended()
        };
        connections.iter().any(ended) || self.life.table.has_just_gone(id)
    }

    /// Closes a client's connections: `DELETE /<ClientId>?code=4000&reason=…`.
    fn dismiss(&self, id: &str, query: &str) -> Answer {
        let (mut code, mut reason) = (DISMISSED, String::new());
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "code" => match value.parse() {
                    Ok(asked @ (1000 | 3000..=4999)) => code = asked,
                    _ => {
                        let why = "the code is neither 1000 nor 3000 to 4999";
                        return text(StatusCode::BAD_REQUEST, why);
                    }
                },
                "reason" => reason = value.into_owned(),
                _ => return text(StatusCode::BAD_REQUEST, "only code and reason are known"),
            }
        }
        let code = CloseCode::Private(code);
        let (mut found, mut awaited) = (false, false);
        let connections = self.life.table.find(id);
        for connection in &connections {
            let mut state = connection.lock();
            match state.phase() {
                Phase::Open => found = true,
                Phase::Connecting | Phase::Accepted => {
                    // As soon as its socket is there.
                    awaited = true;
                    state.buffers().dismissed = Some(Box::new((code, reason.clone())));
                }
                Phase::Closing | Phase::Gone => {}
            }
            drop(state);
            self.life.close(connection, code, &reason);
        }
        match (found, awaited, self.has_gone(id, &connections)) {
            (true, ..) => text(StatusCode::OK, "ok"),
            (_, true, _) => text(StatusCode::ACCEPTED, "queued"),
            (.., true) => text(StatusCode::GONE, "gone"),
            (.., false) => text(StatusCode::NOT_FOUND, "not found"),
        }
    }

    /// Describes a client's connections: `GET /<ClientId>`. `GET /` asks for the counters.
    pub(crate) fn describe(&self, request: &Request<Incoming>) -> Answer {
        let path = request.uri().path();
        if path == "/" {
            let counters = self.life.telemetry.counters.stats();
            return text(StatusCode::OK, counters.lines());
        }
        let id = match client_id(path) {
            Ok((id, _)) => id,
            Err(why) => return text(StatusCode::BAD_REQUEST, why),
        };
        let connections = self.life.table.find(&id);
        let all: Vec<Description> = connections.iter().filter_map(|c| self.one(c)).collect();
        if all.is_empty() {
            return text(StatusCode::NOT_FOUND, "not found");
        }
        let Ok(mut body) = serde_json::to_string(&all) else {
            let why = "the client cannot be described, which is a fault of fetchway";
            return text(StatusCode::INTERNAL_SERVER_ERROR, why);
        };
        body.push('\n');
        let mut answer = text(StatusCode::OK, body);
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(CONTENT_TYPE, json);
        answer
    }

    /// Describes one connection, unless it has ended.
    fn one(&self, connection: &Arc<Connection>) -> Option<Description> {
        let now = self.life.clock.now();
        let seconds = |since: u32| f64::from(now.saturating_sub(since)) / 10.0;
        let state = connection.lock();
        let name = self.api.connection_name(connection);
        (!state.order.has_ended()).then(|| Description {
            connection: String::from_utf8_lossy(&name).into_owned(),
            epoch: connection.epoch,
            address: connection.address,
            open: state.phase() == Phase::Open,
            connected_seconds: seconds(state.since),
            idle_seconds: seconds(state.heard),
            buffered_bytes: state.unsent(),
            waiting_messages: state.order.waiting(),
        })
    }
}

fn unauthorized() -> Answer {
    let mut refused = text(StatusCode::UNAUTHORIZED, "unauthorized");
    let challenge = HeaderValue::from_static("Bearer realm=\"fetchway\"");
    refused.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    refused
}
