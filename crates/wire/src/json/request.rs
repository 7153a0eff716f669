//! What a client's message asks for, and the refusal of what it may not ask.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fetchway_policy::redirect::RedirectMode;
use fetchway_policy::{ErrorName, FetchError, headers, redirect};
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use super::Id;

/// A message from a client.
#[derive(Debug)]
pub enum Message {
    /// Perform this.
    Fetch(Box<FetchMessage>),
    /// End every fetch of this id; each is answered `cancelled`.
    Cancel(Id),
}

/// A fetch to perform.
#[derive(Debug)]
pub struct FetchMessage {
    /// To be echoed in the answer.
    pub id: Id,
    /// Where to; `http` or `https`.
    pub url: Url,
    /// GET unless given.
    pub method: Method,
    /// Checked fields, without those that are ours to set.
    pub headers: HeaderMap,
    /// The request body, from `body` or `bodyBase64`.
    pub body: Bytes,
    /// The lane named, if any.
    pub lane: Option<String>,
    /// The total time allowed, if given.
    pub timeout: Option<Duration>,
    /// What to do with redirects.
    pub redirect: RedirectMode,
    /// Whether content codings are undone.
    pub decode: bool,
}

/// A message that cannot be acted on: what to answer, and to which id.
#[derive(Debug)]
pub struct Refusal {
    /// The id as far as it could be found.
    pub id: Id,
    /// What was wrong with it.
    pub error: FetchError,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
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
    timeout: Option<f64>,
    #[serde(borrow)]
    redirect: Option<Cow<'a, str>>,
    decode: Option<bool>,
}

#[derive(Deserialize)]
struct OnlyId<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

fn invalid(detail: impl Into<Cow<'static, str>>) -> FetchError {
    FetchError::new(ErrorName::InvalidRequest, detail)
}

/// Reads one message. Fields that the shapes do not name are ignored; `null` counts as absent.
///
/// # Errors
/// A [`Refusal`] to be answered; the connection stays open.
pub fn decode_request(text: &[u8]) -> Result<Message, Refusal> {
    let shape: Shape<'_> =
        serde_json::from_slice(text).map_err(|error| refuse_shape(text, &error))?;
    if let (Some(cancel), None) = (shape.cancel, &shape.url) {
        return Ok(Message::Cancel(Id::new(cancel)));
    }
    let Some(id) = shape.id.map(Id::new) else {
        let error = invalid(
            "The request has no id: give each request an id, which its answer brings back.",
        );
        return Err(Refusal {
            id: Id::unknown(),
            error,
        });
    };
    match shape.fetch() {
        Ok(fetch) => Ok(Message::Fetch(Box::new(fetch(id)))),
        Err(error) => Err(Refusal { id, error }),
    }
}

/// The text is no request: is it no JSON at all, or JSON of another shape (then it may have an id)?
fn refuse_shape(text: &[u8], error: &serde_json::Error) -> Refusal {
    if let Ok(OnlyId { id }) = serde_json::from_slice(text) {
        return Refusal {
            id: id.map_or_else(Id::unknown, Id::new),
            error: invalid(format!(
                "The request's fields are not of the right type: {error}."
            )),
        };
    }
    let error = match serde_json::from_slice::<&RawValue>(text) {
        Ok(_) => invalid("A request must be a JSON object with an id and a url."),
        Err(_) => invalid("Invalid JSON in request"),
    };
    Refusal {
        id: Id::unknown(),
        error,
    }
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
        let timeout = self.timeout.map(timeout_of).transpose()?;
        let redirect = match self.redirect.as_deref() {
            None => RedirectMode::Follow,
            Some(word) => word.parse().map_err(|_| {
                invalid("The request's redirect must be \"follow\", \"manual\" or \"error\".")
            })?,
        };
        let (lane, decode) = (self.lane.map(Cow::into_owned), self.decode.unwrap_or(true));
        Ok(move |id| FetchMessage {
            id,
            url,
            method,
            headers: fields,
            body,
            lane,
            timeout,
            redirect,
            decode,
        })
    }
}

fn header_map(given: BTreeMap<Cow<'_, str>, Value>) -> Result<HeaderMap, FetchError> {
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
            Err(_) => Err(invalid("The request's bodyBase64 is not base64.")),
        },
        (Some(text), Some(coded)) if text.is_empty() => body_of(None, Some(coded)),
        (Some(_), Some(_)) => Err(invalid(
            "The request has both body and bodyBase64: give one of them.",
        )),
    }
}

fn timeout_of(ms: f64) -> Result<Duration, FetchError> {
    if ms > 0.0 && ms <= 86_400_000.0 {
        return Ok(Duration::from_secs_f64(ms / 1000.0));
    }
    Err(invalid(
        "The request's timeout must be milliseconds, above 0 and at most 86400000 (a day).",
    ))
}
