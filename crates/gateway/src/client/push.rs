//! The API's own requests: a message to a client, its dismissal, a question about it.

use std::net::IpAddr;
use std::sync::Arc;

use fetchway_service::problem::{Answer, answer, text, with_field};
use fetchway_service::reply::{Reply, refuse};
use fetchway_ws::CloseCode;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Serialize;

use super::connection::{Connection, Phase};
use super::handshake::client_id;
use super::lifecycle::Lifecycle;
use crate::api::is_text;
use crate::config::{Duplicate, Push};
use crate::observe::Pushed;

/// Close code of a dismissal that names none.
const DISMISSED: u16 = 1000;

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

/// Answers a request on the clients' listener that is no GET.
pub(crate) async fn handle(
    life: &Lifecycle,
    request: Request<Incoming>,
    authorized: bool,
) -> Response<Reply> {
    let may_push = authorized || life.config.push == Push::Open;
    if may_push || !matches!(*request.method(), Method::POST | Method::DELETE) {
        return control(life, request).await;
    }
    life.telemetry.observer.pushed(Pushed::Unauthorized);
    refuse(unauthorized(), request)
}

/// Answers a GET on the clients' listener that is no handshake; nothing if the sender has shown neither the
/// credential nor something in its place.
pub(crate) fn query(
    life: &Lifecycle,
    request: &Request<Incoming>,
    authorized: bool,
) -> Option<Answer> {
    let shows_token = request.headers().contains_key(AUTHORIZATION);
    if request.uri().path() == "/" || authorized {
        Some(describe(life, request.uri().path()))
    } else if shows_token && life.config.push == Push::Token {
        Some(unauthorized())
    } else {
        None
    }
}

/// Answers a request of a sender that may push.
pub(crate) async fn control(life: &Lifecycle, request: Request<Incoming>) -> Response<Reply> {
    let uri = request.uri();
    let answer = match (request.method(), client_id(uri.path())) {
        (&Method::GET, _) => describe(life, uri.path()),
        (_, Err(why)) => text(StatusCode::BAD_REQUEST, why),
        (&Method::POST, Ok((id, ""))) => return push(life, &id, request).await,
        (&Method::DELETE, Ok((id, ""))) => dismiss(life, &id, uri.query().unwrap_or_default()),
        (_, Ok((_, ""))) => {
            let refused = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
            with_field(refused, ALLOW, "GET, POST, DELETE")
        }
        (_, Ok(_)) => text(
            StatusCode::BAD_REQUEST,
            "the path goes on after the client id",
        ),
    };
    refuse(answer, request)
}

async fn push(life: &Lifecycle, id: &str, request: Request<Incoming>) -> Response<Reply> {
    let most = life.config.max_message;
    let (head, mut body) = request.into_parts();
    let read = match body.size_hint().lower() > most as u64 {
        true => None,
        false => match Limited::new(&mut body, most).collect().await {
            Ok(whole) => Some(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => None,
            // The API has broken off: nobody reads this.
            Err(_) => {
                return text(StatusCode::BAD_REQUEST, "the body is incomplete").map(Reply::Whole);
            }
        },
    };
    let pushed = match &read {
        Some(body) => {
            let is_text = is_text(head.headers.get(CONTENT_TYPE), body);
            push_to(life, id, is_text, body)
        }
        None => Pushed::TooLong,
    };
    life.telemetry.observer.pushed(pushed);
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
    match read {
        Some(_) => text(status, why).map(Reply::Whole),
        None => refuse(text(status, why), Request::from_parts(head, body)),
    }
}

/// Pushes to the newest connection with the id, as a client that reconnects hears nothing on its old one.
/// With `many` all get the push, and the best outcome counts.
fn push_to(life: &Lifecycle, id: &str, is_text: bool, body: &[u8]) -> Pushed {
    let mut best = None;
    let connections = life.table.find(id);
    for connection in connections.iter().rev() {
        let pushed = life.send(connection, is_text, body, life.config.send_buffer);
        if pushed == Pushed::Gone {
            continue;
        }
        if life.config.duplicate != Duplicate::Many {
            return pushed;
        }
        best = match (best, pushed) {
            (Some(Pushed::Sent), _) | (_, Pushed::Sent) => Some(Pushed::Sent),
            (Some(Pushed::Queued), _) | (_, Pushed::Queued) => Some(Pushed::Queued),
            (_, other) => Some(other),
        };
    }
    best.unwrap_or_else(|| match has_gone(life, id, &connections) {
        true => Pushed::Gone,
        false => Pushed::Unknown,
    })
}

/// Returns true if a client with this id was there until just now. `connections` are those that the table
/// has of the id, as long as the API has not heard of their end.
fn has_gone(life: &Lifecycle, id: &str, connections: &[Arc<Connection>]) -> bool {
    let ended = |connection: &Arc<Connection>| {
        let state = connection.lock();
        state.is_counted && state.order.has_ended()
    };
    connections.iter().any(ended) || life.table.has_just_gone(id)
}

/// Closes a client's connections: `DELETE /<ClientId>?code=4000&reason=…`.
fn dismiss(life: &Lifecycle, id: &str, query: &str) -> Answer {
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
    let connections = life.table.find(id);
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
        life.close(connection, code, &reason);
    }
    match (found, awaited, has_gone(life, id, &connections)) {
        (true, ..) => text(StatusCode::OK, "ok"),
        (_, true, _) => text(StatusCode::ACCEPTED, "queued"),
        (.., true) => text(StatusCode::GONE, "gone"),
        (.., false) => text(StatusCode::NOT_FOUND, "not found"),
    }
}

/// Describes a client's connections: `GET /<ClientId>`. `GET /` asks for the counters.
fn describe(life: &Lifecycle, path: &str) -> Answer {
    if path == "/" {
        let counters = life.telemetry.counters.stats();
        return text(StatusCode::OK, counters.lines());
    }
    let id = match client_id(path) {
        Ok((id, _)) => id,
        Err(why) => return text(StatusCode::BAD_REQUEST, why),
    };
    let connections = life.table.find(&id);
    let all = connections.iter().filter_map(|c| describe_one(life, c));
    let all: Vec<Description> = all.collect();
    match serde_json::to_string(&all) {
        Ok(_) if all.is_empty() => text(StatusCode::NOT_FOUND, "not found"),
        Ok(body) => answer(StatusCode::OK, "application/json", body + "\n"),
        Err(_) => {
            let why = "the client cannot be described, which is a fault of fetchway";
            text(StatusCode::INTERNAL_SERVER_ERROR, why)
        }
    }
}

/// Describes one connection, unless it has ended.
fn describe_one(life: &Lifecycle, connection: &Arc<Connection>) -> Option<Description> {
    let now = life.clock.now();
    let seconds = |since: u32| f64::from(now.saturating_sub(since)) / 10.0;
    let state = connection.lock();
    let name = life.api.connection_name(connection);
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

fn unauthorized() -> Answer {
    let refused = text(StatusCode::UNAUTHORIZED, "unauthorized");
    with_field(refused, WWW_AUTHENTICATE, "Bearer realm=\"fetchway\"")
}
