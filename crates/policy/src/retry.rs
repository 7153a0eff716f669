//! Whether a failed request is sent again, and when.
//!
//! Two rules, from what is promised about delivery: a fetch is sent at most once, *except*
//! 1. once more at once if the origin provably has not processed it, or if it is idempotent and its
//!    *reused* connection ended before any byte of a response (the origin had most likely closed it
//!    for idleness, and we raced it);
//! 2. as often as its lane says if it is idempotent or carries an `Idempotency-Key`.
//!
//! Once response headers have reached the caller, nothing is sent again.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode, header};

use crate::{ErrorName, RetryPolicy};

/// Statuses that a lane may retry: they speak of now, not of the request.
pub const RETRYABLE_STATUSES: [u16; 7] = [408, 425, 429, 500, 502, 503, 504];

/// How far a request had come when it failed. Each value says less about the origin than the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    /// No connection could be had, so nothing was sent. Not worth another try at once.
    Unconnected,
    /// There was a connection, but the request is provably unprocessed: none of it was written, or
    /// the stream was refused (`REFUSED_STREAM`) or lies above a GOAWAY's last stream.
    Unsent,
    /// Sent on a connection that had served before; no byte of a response came.
    ReusedNoResponse,
    /// Sent on a fresh connection; no byte of a response came.
    SentNoResponse,
    /// A response had begun, but nothing of it has reached the caller.
    ResponseBegun,
    /// Response headers have reached the caller.
    HandedOver,
}

/// What ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A response came; nothing of it has reached the caller yet.
    Status(StatusCode),
    /// It failed.
    Failed(ErrorName, Progress),
}

/// A request that has been tried.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Tries so far, this one included, the free resend not: 1 after the first.
    pub number: u32,
    /// The free resend has been used.
    pub resent: bool,
    /// See [`is_idempotent`].
    pub idempotent: bool,
    /// See [`has_key`].
    pub keyed: bool,
    /// The body can be sent (again): there is none, it was kept, or none of it has been taken yet.
    pub replayable: bool,
    /// What ended it.
    pub ended: Ended,
    /// Any random number, evenly distributed: the jitter.
    pub random: u64,
}

/// What to do after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Hand over what there is.
    Stop,
    /// Send again at once. Not the lane's retry: set `resent`, leave `number`.
    Resend,
    /// Send again after this time, in the lane's and the origin's turn: add 1 to `number`.
    Retry(Duration),
}

/// What to do after `attempt`, under a lane's `policy`.
///
/// A `Retry-After` does not enter: it slows its origin as a whole, retries among the rest.
#[must_use]
pub fn decide(policy: &RetryPolicy, attempt: &Attempt) -> Decision {
    if !attempt.replayable {
        return Decision::Stop;
    }
    if !attempt.resent && is_free(attempt) {
        return Decision::Resend;
    }
    let allowed = attempt.number < policy.attempts && (attempt.idempotent || attempt.keyed);
    let worthwhile = match attempt.ended {
        Ended::Status(status) => RETRYABLE_STATUSES.contains(&status.as_u16()),
        Ended::Failed(_, Progress::HandedOver) => false,
        Ended::Failed(name, _) => is_transient(name),
    };
    if allowed && worthwhile {
        Decision::Retry(backoff(policy, attempt.number, attempt.random))
    } else {
        Decision::Stop
    }
}

/// Rule 1. The failure must be the connection's own: a request that was cancelled or refused before
/// it was sent is unsent as well.
fn is_free(attempt: &Attempt) -> bool {
    let Ended::Failed(name, progress) = attempt.ended else {
        return false;
    };
    let connection = matches!(
        name,
        ErrorName::ConnectionTerminated | ErrorName::HttpProtocolError
    );
    connection
        && match progress {
            Progress::Unsent => true,
            Progress::ReusedNoResponse => attempt.idempotent,
            Progress::Unconnected
            | Progress::SentNoResponse
            | Progress::ResponseBegun
            | Progress::HandedOver => false,
        }
}

/// Rule 2: failures that another try may not meet. Timeouts after the request was sent are not among
/// them: the caller has waited long enough, and the origin may still be at work.
fn is_transient(name: ErrorName) -> bool {
    matches!(
        name,
        ErrorName::DnsError
            | ErrorName::DnsTimeout
            | ErrorName::ConnectionRefused
            | ErrorName::ConnectionTimeout
            | ErrorName::ConnectionTerminated
    )
}

/// The wait before the try after number `number`: full jitter, so anything between zero and
/// `base` × 2^(`number` − 1), or `max` if that is less.
///
/// With full jitter, fetches that failed together do not come back together.
#[must_use]
pub fn backoff(policy: &RetryPolicy, number: u32, random: u64) -> Duration {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    // 64 bits shifted by at most 63 fit, and 2^63 ns are 292 years.
    let doublings = number.saturating_sub(1).min(63);
    let bound = u128::from(nanos(policy.base)) << doublings;
    let bound = bound.min(u128::from(nanos(policy.max)));
    // random / 2^64 of the values 0..=bound; at most 2^64 of them, so the product fits.
    let picked = (u128::from(random) * (bound + 1)) >> 64;
    // No greater than `bound`, which came from 64 bits.
    Duration::from_nanos(u64::try_from(picked).unwrap_or(u64::MAX))
}

/// Whether a request by `method` may be repeated without further effect (RFC 9110 section 9.2.2).
#[must_use]
pub fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE
    )
}

/// Whether a request names itself by an `Idempotency-Key`, so that its origin can drop a repetition.
#[must_use]
pub fn has_key(headers: &HeaderMap) -> bool {
    headers
        .get("idempotency-key")
        .is_some_and(|key| !key.is_empty())
}

/// Whether a request may be sent again though its origin may have had it: for its method, or as it names
/// itself.
#[must_use]
pub fn is_repeatable(method: &Method, headers: &HeaderMap) -> bool {
    is_idempotent(method) || has_key(headers)
}

/// Time for which a response asks that nothing be sent to its origin: the `Retry-After` of a 429 or 503, at
/// most `cap`. Other statuses use that field for other ends.
#[must_use]
pub fn requested_wait(
    status: StatusCode,
    headers: &HeaderMap,
    now: SystemTime,
    cap: Duration,
) -> Option<Duration> {
    let heeded = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let value = headers.get(header::RETRY_AFTER).filter(|_| heeded)?;
    retry_after(value.as_bytes(), now, cap)
}

/// How long a `Retry-After` (RFC 9110 section 10.2.3) asks us to wait from `now`, but no longer than
/// `cap`; zero for a date that has passed, nothing for a value that is neither seconds nor a date.
#[must_use]
pub fn retry_after(value: &[u8], now: SystemTime, cap: Duration) -> Option<Duration> {
    let text = str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    if text.is_empty() {
        return None;
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than 64 bits hold are more than any cap.
        let wait = text.parse().map_or(Duration::MAX, Duration::from_secs);
        return Some(wait.min(cap));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default().min(cap))
}
