//! Decides whether a failed request is sent again, and when.
//!
//! A fetch is sent at most once, with two exceptions:
//! 1. It is sent once more at once if the origin has certainly not processed it, or if it is idempotent and
//!    its *reused* connection ended before any byte of a response. (The origin had most likely closed the
//!    idle connection at the same moment.)
//! 2. It is sent as often as its lane allows if it is idempotent or has an `Idempotency-Key`.
//!
//! Nothing is sent again once the response header has reached the caller.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode, header};

use crate::{ErrorName, RetryPolicy};

/// Statuses that a lane may retry. They say something about the moment, not about the request.
pub const RETRYABLE_STATUSES: [u16; 7] = [408, 425, 429, 500, 502, 503, 504];

/// Progress of a request when it failed. Each value leaves the origin's state less certain than the one
/// before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    /// No connection could be opened, so nothing was sent. A resend at once would not help.
    Unconnected,
    /// There was a connection, but the request is certainly unprocessed: nothing of it was written, or its
    /// stream was refused (`REFUSED_STREAM`) or is above the last stream of a GOAWAY.
    Unsent,
    /// Sent on a connection that had served before. No byte of a response came.
    ReusedNoResponse,
    /// Sent on a new connection. No byte of a response came.
    SentNoResponse,
    /// A response had begun, but nothing of it has reached the caller.
    ResponseBegun,
    /// The response header has reached the caller.
    HandedOver,
}

/// The end of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A response came. Nothing of it has reached the caller yet.
    Status(StatusCode),
    /// The try failed.
    Failed(ErrorName, Progress),
}

/// A request that has been tried.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Tries so far, with this one, without the free resend: 1 after the first.
    pub number: u32,
    /// Set if the free resend has been used.
    pub resent: bool,
    /// See [`is_idempotent`].
    pub idempotent: bool,
    /// See [`has_key`].
    pub keyed: bool,
    /// Set if the body can be sent again: there is none, it was kept, or nothing of it has been taken.
    pub replayable: bool,
    /// How the try ended.
    pub ended: Ended,
    /// Any random number, evenly distributed, for the jitter.
    pub random: u64,
}

/// The next step after a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Hand over the result.
    Stop,
    /// Send again at once. This is not a retry of the lane: set `resent`, and leave `number`.
    Resend,
    /// Send again after this time, in the turn of lane and origin: add 1 to `number`.
    Retry(Duration),
}

/// Decides about the next step after `attempt`, by a lane's `policy`.
///
/// A `Retry-After` has no part in this: it slows its origin as a whole, and so the retries too.
#[must_use]
pub fn decide(policy: &RetryPolicy, attempt: &Attempt) -> Decision {
    if !attempt.replayable {
        return Decision::Stop;
    }
    if !attempt.resent && is_free(attempt) {
        return Decision::Resend;
    }
    let is_repeatable = attempt.idempotent || attempt.keyed;
    let allowed = attempt.number <= policy.retries && may_resend(false, is_repeatable);
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

/// Rule 1. The connection must have failed: a request that was cancelled or refused before it was sent is
/// unsent as well.
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
            Progress::Unsent => may_resend(true, attempt.idempotent),
            Progress::ReusedNoResponse => may_resend(false, attempt.idempotent),
            Progress::Unconnected
            | Progress::SentNoResponse
            | Progress::ResponseBegun
            | Progress::HandedOver => false,
        }
}

/// Rule 2: failures that another try may avoid. Timeouts after the request was sent are not among them: the
/// caller has waited long enough, and the origin may still be at work.
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

/// Returns the pause before the try after number `number`, with full jitter: anything between zero and
/// `base` × 2^(`number` − 1), or `max` if that is less.
///
/// With full jitter, fetches that failed together are not sent again together.
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

/// Returns true if a request with `method` may be repeated without further effect (RFC 9110 section 9.2.2).
#[must_use]
pub fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE
    )
}

/// Returns true if a request has an `Idempotency-Key`, by which its origin can recognise a repetition.
#[must_use]
pub fn has_key(headers: &HeaderMap) -> bool {
    headers
        .get("idempotency-key")
        .is_some_and(|key| !key.is_empty())
}

/// Returns true if a request may be sent again: its receiver has certainly not processed it (`is_unsent`), or
/// a repetition does no harm (`is_repeatable`).
///
/// Everything that sends a request more than once asks this function: fetches and items of a batch by
/// [`decide`], the client of a relay, a batch over relays, and the gateway.
#[must_use]
pub fn may_resend(is_unsent: bool, is_repeatable: bool) -> bool {
    is_unsent || is_repeatable
}

/// Returns true if a fetch that failed with `name` has certainly not reached its origin.
#[must_use]
pub fn is_unsent(name: ErrorName) -> bool {
    matches!(
        name,
        ErrorName::DnsError
            | ErrorName::DnsTimeout
            | ErrorName::ConnectionRefused
            | ErrorName::ConnectionTimeout
            | ErrorName::ConnectionLimitReached
            | ErrorName::DestinationIpUnroutable
            | ErrorName::DestinationUnavailable
            | ErrorName::TlsProtocolError
            | ErrorName::TlsCertificateError
            | ErrorName::QueueFull
            | ErrorName::QueueTimeout
    )
}

/// Returns true if a request may be sent again although its origin may have received it, because of its
/// method or its `Idempotency-Key`.
#[must_use]
pub fn is_repeatable(method: &Method, headers: &HeaderMap) -> bool {
    is_idempotent(method) || has_key(headers)
}

/// Returns the time for which a response asks that nothing be sent to its origin: the `Retry-After` of a
/// 429 or 503, at most `cap`. Other statuses use that field for other purposes.
#[must_use]
pub fn requested_wait(
    status: StatusCode,
    headers: &HeaderMap,
    now: SystemTime,
    cap: Duration,
) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?;
    retry_after(status, value.as_bytes(), now, cap)
}

/// Returns the time that a `Retry-After` (RFC 9110 section 10.2.3) of a response with `status` asks to wait
/// from `now`, at most `cap`: zero for a date in the past, `None` for a value that is neither seconds nor a
/// date, and for other statuses than 429 and 503.
#[must_use]
pub fn retry_after(
    status: StatusCode,
    value: &[u8],
    now: SystemTime,
    cap: Duration,
) -> Option<Duration> {
    if !matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) {
        return None;
    }
    let text = str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    if text.is_empty() {
        return None;
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        // A number with more digits than 64 bits hold is more than any cap.
        let wait = text.parse().map_or(Duration::MAX, Duration::from_secs);
        return Some(wait.min(cap));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default().min(cap))
}
