//! Parses the messages of a client, and rejects invalid ones.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fetchway_policy::redirect::RedirectMode;
use fetchway_policy::{ErrorName, FetchError, Request, Timeouts, headers, redirect};
use http::{HeaderMap, Method};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Id;

/// Maximum length of an id's JSON text in bytes. An id is kept as long as its fetch is in progress, and
/// no queue limit counts it. A request with a longer id is refused with `limit_exceeded`.
pub const MAX_ID: usize = 1 << 10;

/// Maximum number of header fields in one request, ten times what servers commonly accept. A request
/// with more is refused with `limit_exceeded`.
pub const MAX_FIELDS: usize = 1_000;

/// A message from a client.
#[derive(Debug)]
pub enum Message {
    /// A fetch to perform.
    Fetch(Box<FetchMessage>),
    /// Cancels every fetch with this id; each is answered `cancelled`.
    Cancel(Id),
}

/// A fetch to perform.
#[derive(Debug)]
pub struct FetchMessage {
    /// To be echoed in the answer.
    pub id: Id,
    /// The request. Its header fields are checked, and those that the engine sets are removed.
    pub request: Request<Bytes>,
}

/// A message that cannot be processed: the error to answer with, and the id to answer to.
#[derive(Debug)]
pub struct Refusal {
    /// Id of the message, if it has one.
    pub id: Option<Id>,
    /// The fault in the message.
    pub error: FetchError,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape<'a> {
    #[serde(borrow, default, deserialize_with = "value")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "value")]
    cancel: Option<&'a RawValue>,
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    headers: Option<BTreeMap<Cow<'a, str>, Value>>,
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
    #[serde(borrow)]
    body_base64: Option<Cow<'a, str>>,
    #[serde(borrow)]
    lane: Option<Cow<'a, str>>,
    timeout: Option<Value>,
    #[serde(borrow)]
    redirect: Option<Cow<'a, str>>,
    decode: Option<bool>,
}

/// Deserializes a value that is present: `null` is an id like any other.
fn value<'de, D: Deserializer<'de>>(given: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(given).map(Some)
}

fn invalid(detail: impl Into<Cow<'static, str>>) -> FetchError {
    FetchError::new(ErrorName::InvalidRequest, detail)
}

/// Parses one message. Unknown fields are ignored. `null` counts as absent, except as an id.
///
/// # Errors
/// Returns a [`Refusal`] to be answered. The connection stays open.
pub fn decode_request(text: &[u8]) -> Result<Message, Refusal> {
    let shape = shape_of(text)?;
    if let (Some(cancel), None) = (shape.cancel, &shape.url) {
        return Ok(Message::Cancel(checked_id(cancel)?));
    }
    if shape.cancel.is_some_and(|cancel| cancel.get() != "null") {
        // The intention is unclear, so neither is done.
        let error = invalid(
            "The message has both cancel and url: send {\"cancel\": id} as a message of its own.",
        );
        let id = shape.id.map(checked_id).transpose()?;
        return Err(Refusal { id, error });
    }
    let Some(id) = shape.id else {
        let error = invalid(
            "The request has no id: give each request an id, which its answer brings back.",
        );
        return Err(Refusal { id: None, error });
    };
    let id = checked_id(id)?;
    match shape.fetch() {
        Ok(fetch) => Ok(Message::Fetch(Box::new(fetch(id)))),
        Err(error) => Err(Refusal {
            id: Some(id),
            error,
        }),
    }
}

/// Parses one item of a batch: a request as [`decode_request`] accepts it, except that the id is
/// optional (`null` if absent). Also returns the URL as written in the item.
///
/// # Errors
/// Returns a [`Refusal`] that describes the fault in the item.
pub fn decode_item(text: &[u8]) -> Result<(String, FetchMessage), Refusal> {
    let shape = shape_of(text)?;
    let id = shape.id.map(checked_id).transpose()?;
    if shape.cancel.is_some_and(|cancel| cancel.get() != "null") {
        let error =
            invalid("The request has a cancel, which nothing in a batch can be: remove it.");
        return Err(Refusal { id, error });
    }
    let url = shape.url.as_deref().unwrap_or_default().to_owned();
    match shape.fetch() {
        Ok(fetch) => Ok((url, fetch(id.unwrap_or_else(Id::null)))),
        Err(error) => Err(Refusal { id, error }),
    }
}

fn shape_of(text: &[u8]) -> Result<Shape<'_>, Refusal> {
    // Serde would also accept an array, as the fields in their order.
    let is_object = text.trim_ascii_start().first() == Some(&b'{');
    let shape = is_object.then(|| serde_json::from_slice(text).ok());
    shape.flatten().ok_or_else(|| refuse_shape(text))
}

fn checked_id(raw: &RawValue) -> Result<Id, Refusal> {
    let len = raw.get().len();
    if len <= MAX_ID {
        return Ok(Id::new(raw));
    }
    let detail = format!(
        "The request's id has {len} bytes, more than the {MAX_ID} that one may have: shorten it."
    );
    let error = FetchError::new(ErrorName::LimitExceeded, detail);
    Err(Refusal { id: None, error })
}

/// Returns the refusal of a text that is not a request: either it is not JSON, or it is JSON of another
/// shape (which may have an id).
fn refuse_shape(text: &[u8]) -> Refusal {
    if serde_json::from_slice::<&RawValue>(text).is_err() {
        let error = invalid("Invalid JSON in request");
        return Refusal { id: None, error };
    }
    let Ok(fields) = serde_json::from_slice::<BTreeMap<Cow<'_, str>, &RawValue>>(text) else {
        let error = invalid("A request must be a JSON object with an id and a url.");
        return Refusal { id: None, error };
    };
    let id = fields.get("id");
    match id.map(|id| checked_id(id)).transpose() {
        Ok(id) => Refusal {
            id,
            error: invalid(wrong_field(&fields)),
        },
        Err(refusal) => refusal,
    }
}

/// Describes the first field of the wrong type. Values are not repeated: they may be secret, and as
/// long as a message.
fn wrong_field(fields: &BTreeMap<Cow<'_, str>, &RawValue>) -> String {
    const TYPES: [(&str, &str, &[u8]); 8] = [
        ("url", "a string", b"\""),
        ("method", "a string", b"\""),
        ("headers", "an object", b"{"),
        ("body", "a string", b"\""),
        ("bodyBase64", "a string", b"\""),
        ("lane", "a string", b"\""),
        ("redirect", "a string", b"\""),
        ("decode", "true or false", b"tf"),
    ];
    for (name, kind, begins) in TYPES {
        let first = fields
            .get(name)
            .and_then(|value| value.get().bytes().next());
        if first.is_some_and(|first| first != b'n' && !begins.contains(&first)) {
            return format!("The request's {name} must be {kind}.");
        }
    }
    "The request has a field twice, a number out of range or half of a surrogate pair: correct it."
        .to_owned()
}

impl Shape<'_> {
    fn fetch(self) -> Result<impl FnOnce(Id) -> FetchMessage, FetchError> {
        let Some(url) = self.url else {
            return Err(invalid(
                "The request has no url: give the http or https URL to fetch.",
            ));
        };
        let url = redirect::parse_url(&url)?;
        let method = headers::method(self.method.as_deref().unwrap_or_default())?;
        let fields = header_map(self.headers.unwrap_or_default())?;
        let body = body_of(self.body, self.body_base64.as_deref())?;
        if !body.is_empty() && matches!(method, Method::GET | Method::HEAD) {
            return Err(invalid(format!(
                "A {method} request has no body: leave it out or use POST."
            )));
        }
        let timeouts = timeouts_of(self.timeout)?;
        let redirect = match self.redirect.as_deref() {
            None => RedirectMode::Follow,
            Some(word) => word.parse().map_err(|_| {
                invalid("The request's redirect must be \"follow\", \"manual\" or \"error\".")
            })?,
        };
        let request = Request {
            method,
            url,
            headers: fields,
            body,
            lane: self.lane.map(Cow::into_owned),
            redirect,
            decode: self.decode.unwrap_or(true),
            timeouts,
        };
        Ok(move |id| FetchMessage { id, request })
    }
}

fn header_map(given: BTreeMap<Cow<'_, str>, Value>) -> Result<HeaderMap, FetchError> {
    if given.len() > MAX_FIELDS {
        let detail = format!(
            "The request has {} header fields, more than the {MAX_FIELDS} that it may have.",
            given.len()
        );
        return Err(FetchError::new(ErrorName::LimitExceeded, detail));
    }
    let mut fields = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                let name: String = name.chars().take(100).collect();
                return Err(invalid(format!("The header {name:?} must be a string.")));
            }
        };
        if let Some((name, value)) = headers::request_field(&name, &text)? {
            fields.append(name, value);
        }
    }
    Ok(fields)
}

fn body_of(text: Option<Cow<'_, str>>, coded: Option<&str>) -> Result<Bytes, FetchError> {
    match (text, coded) {
        (None, None) => Ok(Bytes::new()),
        (Some(text), None) => Ok(text.into_owned().into()),
        (None, Some(coded)) => match STANDARD.decode(coded) {
            Ok(raw) => Ok(raw.into()),
            Err(_) => Err(invalid(
                "The request's bodyBase64 is not base64: use the standard alphabet (+ and /) and pad \
                 it with =.",
            )),
        },
        (Some(text), Some(coded)) if text.is_empty() => body_of(None, Some(coded)),
        (Some(_), Some(_)) => Err(invalid(
            "The request has both body and bodyBase64: give one of them.",
        )),
    }
}

/// Parses `timeout`: milliseconds for the whole fetch, or an object with one value for each clock.
fn timeouts_of(given: Option<Value>) -> Result<Timeouts, FetchError> {
    let mut timeouts = Timeouts::default();
    match given {
        None => {}
        Some(Value::Number(total)) => timeouts.total = Some(timeout_of(total.as_f64())?),
        Some(Value::Object(parts)) => {
            for (name, ms) in parts {
                let part = match name.as_str() {
                    "connect" => &mut timeouts.connect,
                    "header" => &mut timeouts.header,
                    "bodyIdle" => &mut timeouts.body_idle,
                    "total" => &mut timeouts.total,
                    _ => {
                        let name: String = name.chars().take(100).collect();
                        return Err(invalid(format!(
                            "The request's timeout has no part {name:?}: there are connect, header, \
                             bodyIdle and total."
                        )));
                    }
                };
                if !ms.is_null() {
                    *part = Some(timeout_of(ms.as_f64())?);
                }
            }
        }
        Some(_) => {
            return Err(invalid(
                "The request's timeout must be a number or an object of numbers.",
            ));
        }
    }
    Ok(timeouts)
}

fn timeout_of(ms: Option<f64>) -> Result<Duration, FetchError> {
    match ms {
        Some(ms) if ms > 0.0 && ms <= 86_400_000.0 => Ok(Duration::from_secs_f64(ms / 1000.0)),
        _ => Err(invalid(
            "The request's timeout must be milliseconds, above 0 and at most 86400000 (a day).",
        )),
    }
}
