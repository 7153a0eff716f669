//! Routes: the requests of the main listener that a capability answers.

use std::pin::Pin;

use http::header::{HeaderMap, SEC_WEBSOCKET_PROTOCOL};
use http::{Request, Response};
use hyper::body::Incoming;

use crate::principal::Principal;
use crate::problem::Answer;
use crate::reply::Reply;

/// Prefix of an offered WebSocket subprotocol that carries a token, in base64url without padding.
pub const TOKEN_PROTOCOL: &str = "fetchway.token.";

/// A capability's answer on its way.
pub type Replying<'a> = Pin<Box<dyn Future<Output = Response<Reply>> + Send + 'a>>;

/// A capability that answers requests of the main listener. The listener has checked the request's web
/// origin and token before.
pub trait Route: Send + Sync + 'static {
    /// Returns true if the route answers requests with this path and these header fields.
    fn serves(&self, path: &str, headers: &HeaderMap) -> bool;

    /// How a client sends its token to this route: the end of the sentence that refuses a request without one.
    fn token_hint(&self) -> &'static str;

    /// Refuses a request with `answer`. A route whose requests have bodies must let the client see the answer
    /// while it still sends (see [`reply::refuse`](crate::reply::refuse)).
    fn refuse(&self, answer: Answer, _request: Request<Incoming>) -> Response<Reply> {
        answer.map(Reply::Whole)
    }

    /// Answers a request on behalf of `principal`.
    fn handle<'a>(&'a self, principal: &'a Principal, request: Request<Incoming>) -> Replying<'a>;
}

/// The WebSocket subprotocols that a client offers (RFC 6455 section 11.3.4: the field may repeat).
pub fn offered_protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}
