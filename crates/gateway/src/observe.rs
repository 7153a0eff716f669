//! What a gateway tells whoever counts.

use std::time::Duration;

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pushed {
    /// Written to the client's socket: 200.
    Sent,
    /// It waits for the client: 202.
    Queued,
    /// There is no such client: 404.
    Unknown,
    /// It has just gone: 410.
    Gone,
    /// Longer than a message may be: 413.
    TooLong,
    /// Too much waits for the client already: 429.
    Full,
    /// Without the credential: 401.
    Unauthorized,
}

impl Pushed {
    /// Its name in metrics.
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

    /// All of them.
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

/// What became of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connected {
    /// The API has accepted the client: 101.
    Accepted,
    /// The API does not want it: 403.
    Forbidden,
    /// The API gave no answer to go by: 502.
    BadGateway,
    /// It is no handshake of RFC 6455, or for no client id: 400, 405 or 426.
    Malformed,
    /// A page of an origin that may not connect: 403.
    Origin,
    /// There are as many clients as there may be: 503.
    Full,
    /// There are as many connections of its address as there may be: 429.
    Address,
    /// Another connection has its id: 409.
    Duplicate,
    /// The gateway is shutting down: 503.
    Leaving,
}

impl Connected {
    /// Its name in metrics.
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

    /// All of them.
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

/// Hears of clients and requests. Calls come from hot paths: implementations must not block.
pub trait Observer: Send + Sync + 'static {
    /// A request to the API has ended, and how long it took. S4's own five counters are the gateway's.
    fn requested(&self, took: Duration);
    /// A message was lost.
    fn lost(&self);
    /// What became of a push.
    fn pushed(&self, what: Pushed);
    /// What became of a handshake.
    fn connected(&self, what: Connected);
}

/// Counts nothing.
#[derive(Debug)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn requested(&self, _: Duration) {}
    fn lost(&self) {}
    fn pushed(&self, _: Pushed) {}
    fn connected(&self, _: Connected) {}
}
