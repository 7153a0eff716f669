//! The routes of the main listener: the relay, batches, and a few answers for whoever comes by HTTP.

use std::sync::Arc;

use fetchway_relay::{Encoding, Refusal, Relay};
use fetchway_wire::v1::SUBPROTOCOL;
use http::header::{
    ALLOW, HeaderMap, HeaderValue, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;

use crate::auth::{Keyring, TOKEN_PROTOCOL, Unauthorized, offered};
use crate::batches::{Batches, Reply, refused};
use crate::listener::{Handler, Peer};
use crate::metrics::{Metrics, Refused};
use crate::origin_check::{self, OriginCheck};
use fetchway_service::problem::{Answer, json, problem, problem_with, text};
use fetchway_service::{Phase, Shutdown};

/// The relay's JSON encoding, by its subprotocol.
const JSON_PROTOCOL: &str = "fetchway.json";

/// How a token is sent where a session is asked for.
const SESSION_TOKEN: &str = "send it as `Authorization: Bearer TOKEN`, or where headers can't be \
    set, offer it beside an encoding: `new WebSocket(url, [\"fetchway.json\", \
    \"fetchway.token.BASE64URL\"])`";

/// How it is sent with any other request.
pub(crate) const REQUEST_TOKEN: &str = "send it as `Authorization: Bearer TOKEN`";

/// Where batches are asked for.
const BATCHES: &str = "/v1/batches";

const WELCOME: &str = "This is fetchway. Open a WebSocket here to have fetches made for you.\n";

/// Answers the main listener's requests.
pub(crate) struct Main {
    pub(crate) relay: Relay,
    pub(crate) batches: Arc<Batches>,
    pub(crate) keyring: Keyring,
    pub(crate) origins: OriginCheck,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: Shutdown,
}

impl Handler for Main {
    type Body = Reply;

    async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Reply> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answer = self.route(request).await;
        log_request("main", peer, &method, &uri, &answer);
        answer
    }
}

impl Main {
    async fn route(&self, request: Request<Incoming>) -> Response<Reply> {
        let checked = self.origins.check(request.uri(), request.headers());
        let checked = checked.map_err(|refusal| refuse(&self.metrics, refusal));
        match (request.uri().path(), checked) {
            (BATCHES, Ok(())) => self.batch(request).await,
            (BATCHES, Err(refusal)) => refused(refusal, request),
            (_, Ok(())) => self.whole(request).map(Reply::Whole),
            // Nothing else takes a body, so no program is sending a long one.
            (_, Err(refusal)) => refusal.map(Reply::Whole),
        }
    }

    async fn batch(&self, request: Request<Incoming>) -> Response<Reply> {
        match self.keyring.identify(request.headers()) {
            Ok(holder) => self.batches.post(&holder.principal(), request).await,
            Err(why) => {
                self.metrics.refused(Refused::Token);
                refused(unauthorized(why, REQUEST_TOKEN), request)
            }
        }
    }

    fn whole(&self, request: Request<Incoming>) -> Answer {
        let reading = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/v1/relay" => self.relay(request),
            "/" if wants_websocket(request.headers()) => self.relay(request),
            "/" if reading => text(StatusCode::OK, WELCOME),
            "/health" if reading => health(),
            "/" | "/health" => read_only(),
            path => not_found(path),
        }
    }

    fn relay(&self, request: Request<Incoming>) -> Answer {
        let holder = match self.keyring.identify(request.headers()) {
            Ok(holder) => holder,
            Err(why) => {
                self.metrics.refused(Refused::Token);
                return unauthorized(why, SESSION_TOKEN);
            }
        };
        if self.shutdown.phase() != Phase::Serving {
            let detail = "This node is shutting down; connect to another, or again in a while.";
            return problem(StatusCode::SERVICE_UNAVAILABLE, detail);
        }
        let encoding = match encoding(request.headers()) {
            Ok(encoding) => encoding,
            Err(detail) => return problem(StatusCode::BAD_REQUEST, detail),
        };
        let (principal, places) = (holder.principal(), holder.places());
        let upgraded = self.relay.upgrade(request, principal, encoding, places);
        upgraded.unwrap_or_else(|refusal| match refusal {
            Refusal::Full => {
                let detail = "There are as many sessions as this token may have (max-sessions); \
                              close one, or send more fetches over each.";
                problem(StatusCode::TOO_MANY_REQUESTS, detail)
            }
            Refusal::Handshake(error) => {
                let version = HeaderValue::from_static("13");
                let mut answer = problem(error.status(), &error.to_string());
                answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, version);
                answer
            }
        })
    }
}

/// The encoding that a client offers, the binary one first, and the subprotocol to confirm (RFC 6455
/// section 4.2.2: one of those offered).
///
/// # Errors
/// None that is offered can be confirmed. Browsers would close such a connection without a word.
fn encoding(headers: &HeaderMap) -> Result<(Encoding, Option<HeaderValue>), &'static str> {
    let known = [(Encoding::V1, SUBPROTOCOL), (Encoding::Json, JSON_PROTOCOL)];
    let chosen = known
        .into_iter()
        .find(|(_, name)| offered(headers).any(|offer| offer == *name));
    if let Some((encoding, name)) = chosen {
        return Ok((encoding, Some(HeaderValue::from_static(name))));
    }
    let mut others = offered(headers)
        .filter(|offer| !offer.is_empty())
        .peekable();
    if others.peek().is_none() {
        return Ok((Encoding::Json, None));
    }
    if others.all(|offer| offer.starts_with(TOKEN_PROTOCOL)) {
        return Err(
            "A token alone was offered as subprotocol, and is never confirmed: offer an encoding \
             beside it, as in `new WebSocket(url, [\"fetchway.json\", \
             \"fetchway.token.BASE64URL\"])`.",
        );
    }
    Err(
        "None of the subprotocols offered is known here: offer fetchway.json or fetchway.v1, or none \
         at all for JSON.",
    )
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    let values = headers.get_all(UPGRADE).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// Alive, whatever else may be wrong.
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
