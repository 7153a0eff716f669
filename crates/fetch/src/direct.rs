//! For whoever speaks HTTP to one origin by itself, on a thread of its own: leave to fetch, connections,
//! and what the observer is told. A gateway does, as the way through the engine costs more than all
//! else that it does for a message.
//!
//! It is the same leave that the engine's own fetches take, and the same way of dialling.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fetchway_policy::budget::AccountKey;
use fetchway_policy::retry::retry_after;
use fetchway_policy::{ErrorName, FetchError, Timeouts};
use http::{HeaderValue, StatusCode};
use tokio::time::Instant;
use url::Url;

use crate::account::{Account, REQUEST_WEIGHT};
use crate::admit::{Asking, Gate, Permit};
use crate::body::over_cap;
use crate::budget::{Bytes, Hold};
use crate::clock::{self, Limits};
use crate::meter::Meter;
use crate::observe::{Moved, Observer};
use crate::pool::Site;
use crate::stream::Stream;

/// One origin without TLS, as fetches of one account in one lane reach it.
pub struct Direct {
    site: Arc<Site>,
    gate: Arc<Gate>,
    asking: Asking,
    limits: Limits,
    cap: u64,
    retry_after_cap: Duration,
    bodies: Arc<Bytes>,
    holder: AccountKey,
    observer: Arc<dyn Observer>,
    user_agent: HeaderValue,
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Direct({})", self.site.target)
    }
}

/// Leave to perform one fetch, given back when dropped. Dropped before its end is told, the fetch was
/// cancelled.
pub struct Leave {
    /// Held, not looked at.
    _permit: Permit,
    observer: Arc<dyn Observer>,
    lane: usize,
    began: Instant,
    moved: Moved,
    outcome: Result<StatusCode, ErrorName>,
}

impl std::fmt::Debug for Leave {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leave").finish_non_exhaustive()
    }
}

/// An open connection, which the observer has been told of; and is when this is dropped.
pub struct Opened {
    /// Not blocking.
    pub tcp: TcpStream,
    /// To be dropped with it.
    pub guard: OpenGuard,
}

/// Tells the observer that a connection is gone.
pub struct OpenGuard(#[expect(dead_code, reason = "its drop counts")] Arc<Meter>);

impl std::fmt::Debug for OpenGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenGuard")
    }
}

impl Direct {
    /// The origin of `url`, for the fetches of `account` in `lane`; none if it is spoken to over TLS.
    ///
    /// # Errors
    /// The reason why the account may not reach that origin.
    pub fn new(account: &Account, url: &Url, lane: usize) -> Result<Option<Self>, FetchError> {
        let site = account.network().site(url)?;
        if site.target.tls {
            return Ok(None);
        }
        let engine = account.engine();
        let config = engine.lane_config(lane);
        Ok(Some(Self {
            site,
            gate: engine.gate().clone(),
            asking: Asking {
                lane,
                account: account.id(),
                bytes: REQUEST_WEIGHT,
                again: false,
            },
            limits: Limits::new(config.clocks, &Timeouts::default()),
            cap: config.response_cap,
            retry_after_cap: engine.retry_after_cap(),
            bodies: engine.bodies().clone(),
            holder: account.holder(),
            observer: engine.observer().clone(),
            user_agent: engine.user_agent().clone(),
        }))
    }

    /// Whether the origin is spoken to in HTTP/2 with prior knowledge.
    #[must_use]
    pub fn is_h2c(&self) -> bool {
        self.site.target.h2c
    }

    /// The `Host` field, or `:authority`.
    #[must_use]
    pub fn authority(&self) -> &HeaderValue {
        &self.site.authority
    }

    /// The `User-Agent` field of requests that have none.
    #[must_use]
    pub fn user_agent(&self) -> &HeaderValue {
        &self.user_agent
    }

    /// Leave for a fetch whose request body has `bytes` bytes, if it can be had without waiting.
    #[must_use]
    pub fn leave(&self, bytes: usize) -> Option<Leave> {
        let asking = Asking {
            bytes: self.asking.bytes + bytes,
            ..self.asking
        };
        let permit = self.gate.now(&self.site.origin, asking)?;
        let lane = self.asking.lane;
        self.observer.fetch_started(lane);
        Some(Leave {
            _permit: permit,
            observer: self.observer.clone(),
            lane,
            began: Instant::now(),
            moved: Moved::default(),
            outcome: Err(ErrorName::Cancelled),
        })
    }

    /// A place in the byte budget for one whole body.
    #[must_use]
    pub fn hold(&self) -> Hold {
        self.bodies.begin(self.holder)
    }

    /// The most bytes that a response body may have.
    #[must_use]
    pub fn cap(&self) -> u64 {
        self.cap
    }

    /// What a fetch fails with whose response body has more.
    #[must_use]
    pub fn over_cap(&self) -> FetchError {
        over_cap(self.cap)
    }

    /// Idle connections kept, and for how long.
    #[must_use]
    pub fn idle(&self) -> Idle {
        let config = &self.site.pool().config;
        Idle {
            most: config.idle_per_origin,
            timeout: config.idle_timeout,
        }
    }

    /// How long a connection may take to open, and a response to begin, to go on, and to be whole.
    #[must_use]
    pub fn patience(&self) -> Patience {
        Patience {
            connect: self.limits.connect.time,
            header: self.limits.header.time,
            body_idle: self.limits.body_idle.time,
            total: self.limits.total.time,
        }
    }

    /// What a fetch fails with whose response has not begun in time.
    #[must_use]
    pub fn no_header(&self) -> FetchError {
        clock::no_header(self.limits.header)
    }

    /// What a fetch fails with whose response has stood still for too long.
    #[must_use]
    pub fn stands_still(&self) -> FetchError {
        clock::stands_still(self.limits.body_idle)
    }

    /// What a fetch fails with that has taken too long.
    #[must_use]
    pub fn total_over(&self) -> FetchError {
        clock::total_over(self.limits.total)
    }

    /// Keeps the origin from being fetched from for as long as it asks for by a `Retry-After` of
    /// this value, within the engine's cap.
    pub fn heed(&self, asked: &HeaderValue) {
        let cap = self.retry_after_cap;
        if let Some(wait) = retry_after(asked.as_bytes(), SystemTime::now(), cap) {
            self.gate.slow(&self.site.origin, wait);
        }
    }

    /// Opens a connection within the lane's connect time.
    ///
    /// # Errors
    /// As any dial of the engine.
    pub async fn dial(&self) -> Result<Opened, FetchError> {
        let limit = self.limits.connect;
        let dialled = self.site.dial(clock::after(limit.time)).await;
        let (stream, meter) = dialled.map_err(|error| clock::no_connection(error, limit))?;
        let broken = |what: &str| {
            let detail = format!("The connection to {} {what}.", self.site.target);
            FetchError::new(ErrorName::ProxyInternalError, detail)
        };
        let Stream::Plain(tcp) = stream else {
            return Err(broken("is not one without TLS"));
        };
        let tcp = tcp
            .into_std()
            .map_err(|error| broken(&format!("could not be taken over ({error})")))?;
        Ok(Opened {
            tcp,
            guard: OpenGuard(meter),
        })
    }
}

/// Connections that nothing is on.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// So many at most.
    pub most: usize,
    /// For no longer.
    pub timeout: Duration,
}

/// The times of a fetch, as [`Clocks`](fetchway_policy::Clocks) has them.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To open a connection.
    pub connect: Duration,
    /// Up to the response's header.
    pub header: Duration,
    /// The longest silence within its body.
    pub body_idle: Duration,
    /// Up to the body's end.
    pub total: Duration,
}

impl Leave {
    /// The fetch has its response, whole. `moved`: the bytes of both bodies.
    pub fn answered(mut self, status: StatusCode, moved: Moved) {
        (self.outcome, self.moved) = (Ok(status), moved);
    }

    /// The fetch has failed. `moved`: the bytes of both bodies until then.
    pub fn failed(mut self, error: ErrorName, moved: Moved) {
        (self.outcome, self.moved) = (Err(error), moved);
    }

    /// When it was given.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.observer
            .fetch_ended(self.lane, self.outcome, took, self.moved);
    }
}
