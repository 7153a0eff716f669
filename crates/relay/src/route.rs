//! The relay's route: WebSocket handshakes, and the encoding that each chooses.

use std::future::ready;

use fetchway_service::problem::{Answer, problem};
use fetchway_service::reply::Reply;
use fetchway_service::{Phase, Principal, Replying, Route, TOKEN_PROTOCOL, offered_protocols};
use fetchway_wire::v1::SUBPROTOCOL;
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{Request, StatusCode};
use hyper::body::Incoming;

use crate::relay::Relay;
use crate::upgrade::{Encoding, Refusal};

/// Subprotocol of the JSON encoding.
const JSON_PROTOCOL: &str = "fetchway.json";

impl Route for Relay {
    /// The path `/v1/relay`, and WebSocket handshakes at `/`.
    fn serves(&self, path: &str, headers: &HeaderMap) -> bool {
        path == "/v1/relay" || path == "/" && wants_websocket(headers)
    }

    fn token_hint(&self) -> &'static str {
        "send it as `Authorization: Bearer TOKEN`, or where headers can't be set, offer it beside an \
         encoding: `new WebSocket(url, [\"fetchway.json\", \"fetchway.token.BASE64URL\"])`"
    }

    fn handle<'a>(&'a self, principal: &'a Principal, request: Request<Incoming>) -> Replying<'a> {
        let answer = self.session_for(principal, request);
        Box::pin(ready(answer.map(Reply::Whole)))
    }
}

impl Relay {
    fn session_for(&self, principal: &Principal, request: Request<Incoming>) -> Answer {
        if self.shutdown.phase() != Phase::Serving {
            let detail = "This node is shutting down; connect to another node, or again later.";
            return problem(StatusCode::SERVICE_UNAVAILABLE, detail);
        }
        let encoding = match encoding(request.headers()) {
            Ok(encoding) => encoding,
            Err(detail) => return problem(StatusCode::BAD_REQUEST, detail),
        };
        let upgraded = self.upgrade(request, principal.clone(), encoding);
        upgraded.unwrap_or_else(|refusal| match refusal {
            Refusal::Full => {
                let detail = "All sessions that this token may have are open (max-sessions); close \
                              one, or send more fetches over each.";
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

/// Returns the encoding that a client offers, the binary one first, and the subprotocol to confirm (RFC 6455
/// section 4.2.2: one of those offered).
///
/// # Errors
/// No offered subprotocol can be confirmed. Browsers would close such a connection without a message.
fn encoding(headers: &HeaderMap) -> Result<(Encoding, Option<HeaderValue>), &'static str> {
    let known = [(Encoding::V1, SUBPROTOCOL), (Encoding::Json, JSON_PROTOCOL)];
    let chosen = known
        .into_iter()
        .find(|(_, name)| offered_protocols(headers).any(|offer| offer == *name));
    if let Some((encoding, name)) = chosen {
        return Ok((encoding, Some(HeaderValue::from_static(name))));
    }
    let mut others = offered_protocols(headers)
        .filter(|offer| !offer.is_empty())
        .peekable();
    if others.peek().is_none() {
        return Ok((Encoding::Json, None));
    }
    if others.all(|offer| offer.starts_with(TOKEN_PROTOCOL)) {
        return Err(
            "Only a token was offered as subprotocol, and a token is never confirmed: offer an encoding \
             beside it, as in `new WebSocket(url, [\"fetchway.json\", \
             \"fetchway.token.BASE64URL\"])`.",
        );
    }
    Err(
        "None of the offered subprotocols is known here: offer fetchway.json or fetchway.v1, or none \
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
