//! Events that a gateway reports to its observer, for metrics.

use std::time::Duration;

/// Outcome of a push, used as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pushed {
    /// Written to the client's socket: 200.
    Sent,
    /// The push waits for the client: 202.
    Queued,
    /// There is no such client: 404.
    Unknown,
    /// The client has just gone: 410.
    Gone,
    /// Longer than a message may be: 413.
    TooLong,
    /// Too much waits for the client already: 429.
    Full,
    /// Without the credential: 401.
    Unauthorized,
}

impl Pushed {
    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Queued => "queued",
            Self::Unknown => "unknown",
            Self::Gone => "gone",
            Self::TooLong => "too_long",
            Self::Full => "full",
            Self::Unauthorized => "unauthorized",
        }
    }

    /// All outcomes.
    pub const ALL: [Self; 7] = [
        Self::Sent,
        Self::Queued,
        Self::Unknown,
        Self::Gone,
        Self::TooLong,
        Self::Full,
        Self::Unauthorized,
    ];
}

/// Outcome of a client's handshake, used as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connected {
    /// The API has accepted the client: 101.
    Accepted,
    /// The API does not accept the client: 403.
    Forbidden,
    /// The API gave no usable response: 502.
    BadGateway,
    /// The request is no handshake of RFC 6455, or names no client id: 400, 405 or 426.
    Malformed,
    /// A page of an origin that may not connect: 403.
    Origin,
    /// The limit of clients is reached: 503.
    Full,
    /// The limit of connections from one address is reached: 429.
    Address,
    /// Another connection has the client's id: 409.
    Duplicate,
    /// The gateway is shutting down: 503.
    Leaving,
}

impl Connected {
    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Forbidden => "forbidden",
            Self::BadGateway => "bad_gateway",
            Self::Malformed => "malformed",
            Self::Origin => "origin",
            Self::Full => "full",
            Self::Address => "address",
            Self::Duplicate => "duplicate",
            Self::Leaving => "leaving",
        }
    }

    /// All outcomes.
    pub const ALL: [Self; 9] = [
        Self::Accepted,
        Self::Forbidden,
        Self::BadGateway,
        Self::Malformed,
        Self::Origin,
        Self::Full,
        Self::Address,
        Self::Duplicate,
        Self::Leaving,
    ];
}

/// Receives the events of a gateway. The calls come from hot paths: implementations must not block.
pub trait Observer: Send + Sync + 'static {
    /// A request to the API has ended after this time. The gateway counts requests by itself: see
    /// [`Stats`](crate::Stats).
    fn requested(&self, took: Duration);
    /// A message was lost.
    fn lost(&self);
    /// A push was handled.
    fn pushed(&self, what: Pushed);
    /// A handshake was answered.
    fn connected(&self, what: Connected);
}

/// An observer that ignores everything.
#[derive(Debug)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn requested(&self, _: Duration) {}
    fn lost(&self) {}
    fn pushed(&self, _: Pushed) {}
    fn connected(&self, _: Connected) {}
}
