//! A request in the form in which it is sent. Requests that no relay would accept are rejected here.

use std::time::Duration;

use bytes::Bytes;
use fetchway_policy::{ErrorName, Timeouts, headers, retry};
use fetchway_wire::v1::RequestHead;
use fetchway_wire::v1::block::{MAX_BLOCK, MAX_FIELDS};
use http::Method;
use http::header::{CONTENT_LENGTH, HeaderValue, TE};
use http::request::Parts;

use crate::error::Error;
use crate::options::{Failover, Options};

/// Maximum overhead of a header field in a block, in bytes: the lengths of its name and value.
const FIELD_OVERHEAD: usize = 8;

/// Maximum overhead of a request head beside its texts and fields, in bytes.
const HEAD_OVERHEAD: usize = 64;

/// Shortest timeout that JSON can carry.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// Longest timeout that JSON can carry.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// The body of a request, as far as it is known before the request is sent.
#[derive(Clone, Debug)]
pub(crate) enum RequestBody {
    None,
    /// The complete body.
    Whole(Bytes),
    /// The body is read piece by piece.
    Streamed,
}

/// A request without its body, ready to be sent.
#[derive(Debug)]
pub(crate) struct PreparedRequest {
    pub(crate) head: RequestHead,
    /// True if the request may be sent again after it was sent and its relay was lost.
    pub(crate) repeatable: bool,
    /// True if the relay itself answers the request. Only the binary encoding allows this.
    pub(crate) for_relay: bool,
}

impl PreparedRequest {
    /// Returns a request that the relay itself answers.
    pub(crate) fn for_relay(url: &str) -> Self {
        Self {
            for_relay: true,
            repeatable: false,
            head: RequestHead::new(Method::POST, url),
        }
    }

    /// Checks a request and removes the header fields that are not forwarded. `failover`: the client's
    /// setting, which the request's [`Options`] override. `body`: `None` if there is no body, otherwise the
    /// body's length; if the length is not known, `Content-Length` is kept as it is.
    ///
    /// # Errors
    /// `invalid_request` or `limit_exceeded` for a request that no relay would accept.
    pub(crate) fn new(
        parts: Parts,
        failover: Failover,
        body: Option<Option<u64>>,
    ) -> Result<Self, Error> {
        let Parts {
            method,
            uri,
            headers: mut fields,
            mut extensions,
            ..
        } = parts;
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(invalid(format!(
                "A {method} request cannot be relayed: use another method."
            )));
        }
        if uri.host().is_none() || uri.scheme().is_none() {
            return Err(invalid(
                "The request's URI is not absolute: include scheme and host, as in https://example.com/.",
            ));
        }
        if let Some(other) = uri
            .scheme_str()
            .filter(|it| !matches!(*it, "http" | "https"))
        {
            return Err(invalid(format!(
                "The request's scheme is {other}: use http or https."
            )));
        }
        let declared = fields.get(CONTENT_LENGTH).cloned();
        let te = fields.get(TE).cloned();
        headers::strip_request(&mut fields);
        let length = body.and_then(|length| length.map(HeaderValue::from).or(declared));
        if let Some(length) = length {
            fields.insert(CONTENT_LENGTH, length);
        }
        if let Some(te) = te {
            // TE is a hop-by-hop field, but the relay needs it to ask the origin for trailers.
            fields.insert(TE, te);
        }
        let options = extensions.remove::<Options>().unwrap_or_default();
        let failover = options.failover.unwrap_or(failover);
        let repeatable = retry::is_repeatable(&method, &fields) && failover == Failover::Idempotent;
        let head = RequestHead {
            tag: Bytes::new(),
            request: fetchway_policy::Request {
                method,
                url: uri.to_string(),
                headers: fields,
                body: (),
                lane: options.lane,
                redirect: options.redirect,
                decode: options.decode,
                timeouts: clamp_timeouts(options.timeouts),
            },
        };
        check_size(&head)?;
        Ok(Self {
            for_relay: false,
            repeatable,
            head,
        })
    }
}

/// Limits timeouts to what both encodings can carry.
fn clamp_timeouts(timeouts: Timeouts) -> Timeouts {
    let clamp = |time: Option<Duration>| time.map(|time| time.clamp(MIN_TIMEOUT, MAX_TIMEOUT));
    Timeouts {
        connect: clamp(timeouts.connect),
        header: clamp(timeouts.header),
        body_idle: clamp(timeouts.body_idle),
        total: clamp(timeouts.total),
    }
}

/// Rejects a head that is too large. Sent, it would end the whole session.
fn check_size(head: &RequestHead) -> Result<(), Error> {
    let request = &head.request;
    let fields: usize = request
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD)
        .sum();
    let texts = request.url.len() + request.lane.len() + request.method.as_str().len();
    let total = HEAD_OVERHEAD + texts + fields;
    if total <= MAX_BLOCK && request.headers.len() <= MAX_FIELDS {
        return Ok(());
    }
    let detail = format!(
        "The request's head has about {total} bytes and {} header fields; the limits are {MAX_BLOCK} \
         bytes and {MAX_FIELDS} fields: shorten it, or move data to the body.",
        request.headers.len()
    );
    Err(Error::new(ErrorName::LimitExceeded, detail))
}

fn invalid(detail: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorName::InvalidRequest, detail)
}
