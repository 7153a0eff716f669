//! Permits, connections and reports to the observer for a caller that has HTTP code of its own and sends to
//! one origin from one thread. A gateway does this, because the way through the engine would cost more than
//! the rest of its work for a message. The permits and the dialling are the same as those of the engine's
//! own fetches.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fetchway_policy::budget::AccountKey;
use fetchway_policy::retry;
use fetchway_policy::{Clocks, ErrorName, FetchError, Timeouts};
use http::{HeaderValue, StatusCode};
use tokio::time::Instant;
use url::Url;

use crate::account::{Account, REQUEST_WEIGHT};
use crate::admit::{Asking, Gate, Permit};
use crate::budget::{Bytes, Hold};
use crate::clock::{self, Limits, Timeout};
use crate::meter::Meter;
use crate::observe::{Moved, Observer};
use crate::pool::Site;
use crate::stream::Stream;

/// One origin without TLS, as the fetches of one account in one lane reach it.
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

/// Permit to perform one fetch, which returns itself when dropped. A fetch whose permit is dropped before
/// its end is reported counts as cancelled.
pub struct Leave {
    /// The permit, which is only held.
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

/// An open connection, whose opening and end are reported to the observer.
pub struct Opened {
    /// The socket, in non-blocking mode.
    pub tcp: TcpStream,
    /// Reports the end when dropped.
    pub guard: OpenGuard,
}

/// Reports the end of a connection to the observer when dropped.
pub struct OpenGuard(#[expect(dead_code, reason = "its drop counts")] Arc<Meter>);

impl std::fmt::Debug for OpenGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenGuard")
    }
}

impl Direct {
    /// Returns the origin of `url`, for the fetches of `account` in `lane`; `None` if the origin needs TLS.
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
                repeated: false,
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

    /// Returns true if the origin is spoken to in HTTP/2 with prior knowledge.
    #[must_use]
    pub fn is_h2c(&self) -> bool {
        self.site.target.h2c
    }

    /// The value of `Host` or `:authority`.
    #[must_use]
    pub fn authority(&self) -> &HeaderValue {
        &self.site.authority
    }

    /// The value of `User-Agent` in requests that have none.
    #[must_use]
    pub fn user_agent(&self) -> &HeaderValue {
        &self.user_agent
    }

    /// Returns a permit for a fetch with `bytes` bytes of request body, if it can be had without waiting.
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

    /// Begins a hold for one whole body.
    #[must_use]
    pub fn hold(&self) -> Hold {
        self.bodies.begin(self.holder)
    }

    /// Maximum number of bytes of a response body.
    #[must_use]
    pub fn cap(&self) -> u64 {
        self.cap
    }

    /// The maximum number of idle connections, and the time for which one is kept.
    #[must_use]
    pub fn idle(&self) -> Idle {
        let config = &self.site.pool().config;
        Idle {
            most: config.idle_per_origin,
            timeout: config.idle_timeout,
        }
    }

    /// The timeouts of a fetch.
    #[must_use]
    pub fn clocks(&self) -> Clocks {
        Clocks {
            connect: self.limits.connect.time,
            header: self.limits.header.time,
            body_idle: self.limits.body_idle.time,
            total: self.limits.total.time,
        }
    }

    /// Returns the error of a fetch that has exceeded this timeout.
    #[must_use]
    pub fn timed_out(&self, timeout: Timeout) -> FetchError {
        self.limits.error(timeout)
    }

    /// Prevents fetches from the origin for the time of the `Retry-After` of a response with `status`, within
    /// the engine's cap.
    pub fn handle_retry_after(&self, status: StatusCode, retry_after: &HeaderValue) {
        let (value, cap) = (retry_after.as_bytes(), self.retry_after_cap);
        if let Some(wait) = retry::retry_after(status, value, SystemTime::now(), cap) {
            self.gate.slow(&self.site.origin, wait);
        }
    }

    /// Opens a connection within the lane's connect time.
    ///
    /// # Errors
    /// The errors of any dial of the engine.
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

/// Bounds of idle connections.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Maximum number.
    pub most: usize,
    /// Longest time for which one is kept.
    pub timeout: Duration,
}

impl Leave {
    /// Reports that the fetch has its whole response. `moved` has the bytes of both bodies.
    pub fn answered(mut self, status: StatusCode, moved: Moved) {
        (self.outcome, self.moved) = (Ok(status), moved);
    }

    /// Reports that the fetch has failed. `moved` has the bytes of both bodies until then.
    pub fn failed(mut self, error: ErrorName, moved: Moved) {
        (self.outcome, self.moved) = (Err(error), moved);
    }

    /// Time at which the permit was granted.
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
