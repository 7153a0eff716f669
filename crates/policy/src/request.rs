//! A request for a fetch, in the one form that all encodings, batches and the engine share.

use http::{HeaderMap, Method};
use url::Url;

use crate::lane::Timeouts;
use crate::redirect::RedirectMode;

/// A request for a fetch. `B` is its body, `L` its lane and `U` its URL: an encoding has the name of a lane,
/// or a URL that is not parsed yet, where the engine has an index and a [`Url`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<B, L = Option<String>, U = Url> {
    /// Method, except CONNECT and TRACE.
    pub method: Method,
    /// URL with the scheme `http` or `https`, without credentials.
    pub url: U,
    /// Header fields. The engine removes hop-by-hop fields, and those that it sets itself.
    pub headers: HeaderMap,
    /// The request body.
    pub body: B,
    /// The lane; `None` or an empty name means the default lane.
    pub lane: L,
    /// Handling of redirects.
    pub redirect: RedirectMode,
    /// Whether content codings are undone.
    pub decode: bool,
    /// Timeouts that are shorter than the lane's.
    pub timeouts: Timeouts,
}

impl<B, L, U> Request<B, L, U> {
    /// Returns a request with the defaults of fetch in browsers: no header fields, redirects are followed,
    /// content codings are undone, and the lane's timeouts apply.
    pub fn new(method: Method, url: U, lane: L, body: B) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body,
            lane,
            redirect: RedirectMode::Follow,
            decode: true,
            timeouts: Timeouts::default(),
        }
    }

    /// Returns the request with another body, lane and URL, which `change` makes of the old ones.
    pub fn map<B2, L2, U2>(
        self,
        change: impl FnOnce(B, L, U) -> (B2, L2, U2),
    ) -> Request<B2, L2, U2> {
        let (body, lane, url) = change(self.body, self.lane, self.url);
        Request {
            method: self.method,
            url,
            headers: self.headers,
            body,
            lane,
            redirect: self.redirect,
            decode: self.decode,
            timeouts: self.timeouts,
        }
    }
}
