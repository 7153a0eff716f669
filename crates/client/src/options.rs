//! Options of one fetch, and what a response carries beside its head and body: types for
//! [`http::Extensions`].

use std::time::Duration;

use fetchway_policy::Timeouts;
use fetchway_policy::redirect::RedirectMode;
use http::Response;

/// Handling of a fetch whose relay is lost before the response's head has arrived.
///
/// A relay counts as lost when it says so, or when its session is not resumed within
/// [`resume_within`](crate::Builder::resume_within) (30 s by default), even if its port refuses
/// connections. With several relays, 1 to 2 s are a good choice.
///
/// A fetch that was not sent yet is always sent to another relay or over a new session: this repeats
/// nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failover {
    /// The fetch is sent again, to another relay or over a new session, if its method is idempotent
    /// (RFC 9110 section 9.2.2) or it has an `Idempotency-Key`, and its body can be sent again.
    #[default]
    Idempotent,
    /// The fetch fails with `outcome_unknown`.
    Never,
}

/// Options of one fetch, for [`Client::fetch_with`](crate::Client::fetch_with). In a request's
/// extensions they also apply to [`Client::fetch`](crate::Client::fetch).
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
    /// Name of the relay's lane; empty for the default lane. The relay rejects an unknown lane.
    pub lane: String,
    /// How the relay handles redirects; follows them by default.
    pub redirect: RedirectMode,
    /// True if the relay decodes content codings (RFC 9110 section 8.4); true by default.
    pub decode: bool,
    /// Timeouts that are shorter than those of the lane. The relay applies them, beginning when it
    /// dispatches the fetch: the wait for a relay or a stream and the wait in the lane's queue do not
    /// count. For a limit on everything, use `tokio::time::timeout` around the fetch and the reading of
    /// its body.
    ///
    /// Values below 1 ms count as 1 ms, values above a day as a day.
    pub timeouts: Timeouts,
    /// Overrides the client's [`Builder::failover`](crate::Builder::failover).
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
    /// Sets the lane.
    #[must_use]
    pub fn lane(mut self, lane: impl Into<String>) -> Self {
        self.lane = lane.into();
        self
    }

    /// Sets how the relay handles redirects.
    #[must_use]
    pub fn redirect(mut self, redirect: RedirectMode) -> Self {
        self.redirect = redirect;
        self
    }

    /// Sets whether the relay decodes content codings.
    #[must_use]
    pub fn decode(mut self, decode: bool) -> Self {
        self.decode = decode;
        self
    }

    /// Sets all four timeouts. `None` keeps the lane's timeout.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets the maximum time for DNS, connection and TLS handshake with the origin, together.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.timeouts.connect = Some(time);
        self
    }

    /// Sets the maximum time from sending the request to the response's head.
    #[must_use]
    pub fn header_timeout(mut self, time: Duration) -> Self {
        self.timeouts.header = Some(time);
        self
    }

    /// Sets the maximum time without data from the origin within a body. Paused while the client does
    /// not read.
    #[must_use]
    pub fn body_idle_timeout(mut self, time: Duration) -> Self {
        self.timeouts.body_idle = Some(time);
        self
    }

    /// Sets the maximum time from dispatch to the end of the response's body, including redirects and
    /// retries. Paused while the client does not read.
    #[must_use]
    pub fn total_timeout(mut self, time: Duration) -> Self {
        self.timeouts.total = Some(time);
        self
    }

    /// Sets what happens if the relay is lost, overriding the client's setting.
    #[must_use]
    pub fn failover(mut self, failover: Failover) -> Self {
        self.failover = Some(failover);
        self
    }
}

/// The URL of a response after redirects, as an extension of the response. Absent without redirects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalUrl(pub String);

impl FinalUrl {
    /// Returns the URL of `response` after redirects; `None` if there were none.
    pub fn of<B>(response: &Response<B>) -> Option<&str> {
        response
            .extensions()
            .get::<Self>()
            .map(|url| url.0.as_str())
    }
}
