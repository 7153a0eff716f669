//! The main listener: routes of the capabilities behind the checks of web origin and token, and a few pages.

use std::sync::Arc;

use fetchway_service::Route;
use fetchway_service::problem::{Answer, json, problem, problem_with, text};
use fetchway_service::reply::Reply;
use http::header::{ALLOW, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;

use crate::auth::{Keyring, Unauthorized};
use crate::listener::{Handler, Peer};
use crate::metrics::{Metrics, Refused};
use crate::origin_check::{self, OriginCheck};

/// How a token is sent to listeners without routes.
pub(crate) const REQUEST_TOKEN: &str = "send it as `Authorization: Bearer TOKEN`";

const WELCOME: &str = "This is fetchway. Open a WebSocket here to have fetches made for you.\n";

/// Answers the main listener's requests.
pub(crate) struct Main {
    /// Routes of the capabilities. The first one that serves a request answers it.
    pub(crate) routes: Vec<Arc<dyn Route>>,
    pub(crate) keyring: Keyring,
    pub(crate) origins: OriginCheck,
    pub(crate) metrics: Arc<Metrics>,
}

impl Handler for Main {
    type Body = Reply;

    async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Reply> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answer = self.answer(request).await;
        log_request("main", peer, &method, &uri, &answer);
        answer
    }
}

impl Main {
    async fn answer(&self, request: Request<Incoming>) -> Response<Reply> {
        let (path, headers) = (request.uri().path(), request.headers());
        let checked = self.origins.check(request.uri(), headers);
        let Some(route) = self.routes.iter().find(|it| it.serves(path, headers)) else {
            let answer = match checked {
                Ok(()) => page(request.method(), path),
                Err(refusal) => refuse(&self.metrics, refusal),
            };
            return answer.map(Reply::Whole);
        };
        if let Err(refusal) = checked {
            return route.refuse(refuse(&self.metrics, refusal), request);
        }
        match self.keyring.identify(headers) {
            Ok(principal) => route.handle(principal, request).await,
            Err(why) => {
                self.metrics.refused(Refused::Token);
                route.refuse(unauthorized(why, route.token_hint()), request)
            }
        }
    }
}

/// Answers a request for something that belongs to no capability.
fn page(method: &Method, path: &str) -> Answer {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match path {
        "/" if is_read => text(StatusCode::OK, WELCOME),
        "/health" if is_read => health(),
        "/" | "/health" => read_only(),
        path => not_found(path),
    }
}

/// Reports that the process is alive, whatever else may be wrong.
pub(crate) fn health() -> Answer {
    let body = serde_json::json!({ "status": "ok", "service": "fetchway" });
    json(StatusCode::OK, &body)
}

pub(crate) fn refuse(metrics: &Metrics, refusal: origin_check::Refusal) -> Answer {
    metrics.refused(match refusal {
        origin_check::Refusal::Origin => Refused::Origin,
        origin_check::Refusal::Host => Refused::Host,
    });
    refusal.answer()
}

/// `how` says how the token asked for is sent.
pub(crate) fn unauthorized(why: Unauthorized, how: &str) -> Answer {
    let (challenge, detail) = match why {
        Unauthorized::Missing => (
            "Bearer realm=\"fetchway\"",
            format!("This node asks for a token: {how}."),
        ),
        Unauthorized::Unknown => (
            "Bearer realm=\"fetchway\", error=\"invalid_token\"",
            "The token sent is none of this node's; check it for typing errors.".to_owned(),
        ),
    };
    let status = StatusCode::UNAUTHORIZED;
    problem_with(status, &detail, WWW_AUTHENTICATE, challenge)
}

pub(crate) fn read_only() -> Answer {
    let detail = "This is only for reading; use GET.";
    problem_with(StatusCode::METHOD_NOT_ALLOWED, detail, ALLOW, "GET, HEAD")
}

pub(crate) fn not_found(path: &str) -> Answer {
    let shown: String = path.chars().take(100).collect();
    let detail = format!("There is nothing at {shown}; see the documentation for what there is.");
    problem(StatusCode::NOT_FOUND, &detail)
}

/// Debug level, as query strings are part of it.
pub(crate) fn log_request<B>(
    listener: &'static str,
    peer: Peer,
    method: &Method,
    uri: &Uri,
    answer: &Response<B>,
) {
    tracing::debug!(listener, peer = %peer.addr, %method, %uri, status = answer.status().as_u16(), "request");
}
