//! A request as it is to be sent, looked over once: what no relay would take is refused here.

use std::time::Duration;

use fetchway_policy::redirect::RedirectMode;
use fetchway_policy::{ErrorName, Timeouts, headers, retry};
use fetchway_wire::v1::RequestHead;
use fetchway_wire::v1::block::{MAX_BLOCK, MAX_FIELDS};
use http::header::{CONTENT_LENGTH, HeaderValue, TE};
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::error::Error;
use crate::options::{Failover, Options};

/// What a field takes in a block beside its bytes, at most: the lengths of name and value.
const FIELD_OVERHEAD: usize = 8;

/// What a head takes beside its texts and fields, at most.
const HEAD_OVERHEAD: usize = 64;

/// The shortest and the longest clock that JSON takes.
const SHORTEST_CLOCK: Duration = Duration::from_millis(1);
const LONGEST_CLOCK: Duration = Duration::from_secs(24 * 3600);

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) head: RequestHead,
    /// It may be sent again though it has been sent.
    pub(crate) repeatable: bool,
    /// It is for the relay itself, which must speak the binary encoding for that.
    pub(crate) own: bool,
}

impl Job {
    /// What the relay itself is asked for.
    pub(crate) fn own(url: String) -> Self {
        Self {
            own: true,
            repeatable: false,
            head: RequestHead {
                tag: bytes::Bytes::new(),
                method: Method::POST,
                url,
                lane: String::new(),
                redirect: RedirectMode::Follow,
                decode: true,
                timeouts: Timeouts::default(),
                fields: HeaderMap::new(),
            },
        }
    }

    /// `failover` is the client's own setting. `body`: its length, if there is
    /// one; if that is not known, what the field says is taken for it.
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
                "The request's URI is not absolute: give scheme and host, such as https://example.com/.",
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
        let said = fields.get(CONTENT_LENGTH).cloned();
        let te = fields.get(TE).cloned();
        headers::strip_request(&mut fields);
        let length = body.and_then(|length| length.map(HeaderValue::from).or(said));
        if let Some(length) = length {
            fields.insert(CONTENT_LENGTH, length);
        }
        if let Some(te) = te {
            // Meant for the next hop only, but that is who asks the origin for trailers.
            fields.insert(TE, te);
        }
        let options = extensions.remove::<Options>().unwrap_or_default();
        let failover = options.failover.unwrap_or(failover);
        let idempotent = retry::is_repeatable(&method, &fields);
        let head = RequestHead {
            tag: bytes::Bytes::new(),
            method,
            url: uri.to_string(),
            lane: options.lane,
            redirect: options.redirect,
            decode: options.decode,
            timeouts: whole_millis(options.timeouts),
            fields,
        };
        check_size(&head)?;
        Ok(Self {
            own: false,
            repeatable: idempotent && failover == Failover::Idempotent,
            head,
        })
    }
}

/// Clocks as both encodings can say them: from a millisecond to a day.
fn whole_millis(clocks: Timeouts) -> Timeouts {
    let whole = |time: Option<Duration>| time.map(|time| time.clamp(SHORTEST_CLOCK, LONGEST_CLOCK));
    Timeouts {
        connect: whole(clocks.connect),
        header: whole(clocks.header),
        body_idle: whole(clocks.body_idle),
        total: whole(clocks.total),
    }
}

/// A head that is too long would end the whole session: it is refused before.
fn check_size(head: &RequestHead) -> Result<(), Error> {
    let fields: usize = head
        .fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD)
        .sum();
    let texts = head.url.len() + head.lane.len() + head.method.as_str().len();
    let total = HEAD_OVERHEAD + texts + fields;
    if total <= MAX_BLOCK && head.fields.len() <= MAX_FIELDS {
        return Ok(());
    }
    let detail = format!(
        "The request's head has about {total} bytes and {} fields, more than the {MAX_BLOCK} and \
         {MAX_FIELDS} that it may have: shorten it or send a body.",
        head.fields.len()
    );
    Err(Error::new(ErrorName::LimitExceeded, detail))
}

fn invalid(detail: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorName::InvalidRequest, detail)
}
