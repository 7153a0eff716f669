//! What one fetch may ask for, and what comes back beside its response: types for
//! [`http::Extensions`].

use std::time::Duration;

use fetchway_policy::Timeouts;
use fetchway_policy::redirect::RedirectMode;
use http::Response;

/// What becomes of a fetch whose relay is lost for good before the response's head has come.
///
/// A relay is lost for good when it says so, or has not come back within
/// [`resume_within`](crate::Builder::resume_within): 30 s unless told otherwise, also where its port
/// refuses connections. With several relays choose 1 to 2 s.
///
/// Fetches that were never sent always go elsewhere: nothing is repeated by that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failover {
    /// It is sent again, through another relay or a new session, if its method is idempotent or it
    /// has an `Idempotency-Key`, and its body can be given again.
    #[default]
    Idempotent,
    /// It fails with `outcome_unknown`.
    Never,
}

/// How one fetch is to be made: what [`Client::fetch_with`](crate::Client::fetch_with) takes. In a
/// request's extensions it does the same for [`Client::fetch`](crate::Client::fetch).
///
/// ```
/// use std::time::Duration;
/// use fetchway_client::{Failover, Options};
///
/// let options = Options::default()
///     .lane("slow")
///     .total_timeout(Duration::from_secs(20))
///     .failover(Failover::Never);
/// assert_eq!(options.lane, "slow");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The lane to travel in; empty for the relay's default one. An unknown lane is refused.
    pub lane: String,
    /// What to do with redirects; followed unless told otherwise.
    pub redirect: RedirectMode,
    /// Whether the relay undoes content codings; true unless told otherwise.
    pub decode: bool,
    /// Clocks that are to be shorter than the lane's. The relay runs them, and from the fetch's
    /// dispatch: neither the wait for a relay or a stream nor that in the lane's queue counts. What is
    /// to hold whatever happens is `tokio::time::timeout` around the fetch and its body.
    ///
    /// Shorter than a millisecond counts as one, longer than a day as a day.
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

impl Options {
    /// Travels in this lane.
    #[must_use]
    pub fn lane(mut self, lane: impl Into<String>) -> Self {
        self.lane = lane.into();
        self
    }

    /// Does this with redirects.
    #[must_use]
    pub fn redirect(mut self, redirect: RedirectMode) -> Self {
        self.redirect = redirect;
        self
    }

    /// Whether content codings are undone.
    #[must_use]
    pub fn decode(mut self, decode: bool) -> Self {
        self.decode = decode;
        self
    }

    /// All four clocks; what is `None` is the lane's.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The longest that the origin's name, connection and TLS handshake may take, together.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.timeouts.connect = Some(time);
        self
    }

    /// The longest from the request being handed to its connection to the response's head.
    #[must_use]
    pub fn header_timeout(mut self, time: Duration) -> Self {
        self.timeouts.header = Some(time);
        self
    }

    /// The longest silence of the origin within a body. Stands still while the client reads nothing.
    #[must_use]
    pub fn body_idle_timeout(mut self, time: Duration) -> Self {
        self.timeouts.body_idle = Some(time);
        self
    }

    /// The longest from dispatch to the end of the response's body, redirects and retries included.
    /// Stands still while the client reads nothing.
    #[must_use]
    pub fn total_timeout(mut self, time: Duration) -> Self {
        self.timeouts.total = Some(time);
        self
    }

    /// What becomes of it if its relay is lost, whatever the client's setting.
    #[must_use]
    pub fn failover(mut self, failover: Failover) -> Self {
        self.failover = Some(failover);
        self
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
