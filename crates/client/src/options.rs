//! What one fetch may ask for, and what comes back beside its response: types for
//! [`http::Extensions`].

use fetchway_policy::Timeouts;
use fetchway_policy::redirect::RedirectMode;
use http::Response;

/// What becomes of a fetch whose relay is lost for good before the response's head has come.
///
/// Fetches that were never sent always go elsewhere: nothing is repeated by that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failover {
    /// It is sent again, through another relay or a new session, if its method is idempotent or it
    /// has an `Idempotency-Key`, and its body can be given again.
    #[default]
    Idempotent,
    /// It fails with `outcome_unknown`.
    Never,
}

/// How one fetch is to be made. Put it into the request's extensions:
///
/// ```
/// use fetchway_client::Options;
///
/// let mut request = http::Request::get("https://example.com/").body(String::new()).unwrap();
/// request.extensions_mut().insert(Options {
///     lane: "slow".to_owned(),
///     ..Options::default()
/// });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The lane to travel in; empty for the relay's default one. An unknown lane is refused.
    pub lane: String,
    /// What to do with redirects; followed unless told otherwise.
    pub redirect: RedirectMode,
    /// Whether the relay undoes content codings; true unless told otherwise.
    pub decode: bool,
    /// Clocks that are to be shorter than the lane's, kept in whole milliseconds.
    pub timeouts: Timeouts,
    /// Instead of the client's own setting.
    pub failover: Option<Failover>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lane: String::new(),
            redirect: RedirectMode::Follow,
            decode: true,
            timeouts: Timeouts::default(),
            failover: None,
        }
    }
}

/// Where a response came from, in its extensions; absent if that is the URL that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalUrl(pub String);

impl FinalUrl {
    /// The URL that `response` came from after redirects; `None` if there were none.
    pub fn of<B>(response: &Response<B>) -> Option<&str> {
        response
            .extensions()
            .get::<Self>()
            .map(|url| url.0.as_str())
    }
}
