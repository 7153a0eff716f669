//! A request as it is to be sent, looked over once: what no relay would take is refused here.

use fetchway_policy::{ErrorName, FetchError, headers, retry};
use fetchway_wire::v1::RequestHead;
use fetchway_wire::v1::block::{MAX_BLOCK, MAX_FIELDS};
use http::Method;
use http::header::{CONTENT_LENGTH, HeaderValue, TE};
use http::request::Parts;

use crate::options::{Failover, Options};

/// What a field takes in a block beside its bytes, at most: the lengths of name and value.
const FIELD_OVERHEAD: usize = 8;

/// What a head takes beside its texts and fields, at most.
const HEAD_OVERHEAD: usize = 64;

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) head: RequestHead,
    /// It may be sent again though it has been sent.
    pub(crate) repeatable: bool,
}

impl Job {
    /// `failover` is the client's own setting. `body`: its length, if there is
    /// one; if that is not known, what the field says is taken for it.
    pub(crate) fn new(
        parts: Parts,
        failover: Failover,
        body: Option<Option<u64>>,
    ) -> Result<Self, FetchError> {
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
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(invalid(
                "The request's URI is not absolute: give scheme and host, such as https://example.com/.",
            ));
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
        let idempotent = retry::is_idempotent(&method) || retry::has_key(&fields);
        let head = RequestHead {
            tag: bytes::Bytes::new(),
            method,
            url: uri.to_string(),
            lane: options.lane,
            redirect: options.redirect,
            decode: options.decode,
            timeouts: options.timeouts,
            fields,
        };
        check_size(&head)?;
        Ok(Self {
            repeatable: idempotent && failover == Failover::Idempotent,
            head,
        })
    }
}

/// A head that is too long would end the whole session: it is refused before.
fn check_size(head: &RequestHead) -> Result<(), FetchError> {
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
    Err(FetchError::new(ErrorName::LimitExceeded, detail))
}

fn invalid(detail: impl Into<std::borrow::Cow<'static, str>>) -> FetchError {
    FetchError::new(ErrorName::InvalidRequest, detail)
}
