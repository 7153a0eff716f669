//! The JSON messages: a request as it is sent, an answer as it is read. `docs/json.md`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fetchway_policy::redirect::RedirectMode;
use fetchway_policy::{ErrorName, FetchError, Timeouts};
use fetchway_wire::json::ClientResponse;
use fetchway_wire::v1::{RequestHead, ResponseHead};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    id: u64,
    url: &'a str,
    method: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    lane: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Clocks>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decode: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Clocks {
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_idle: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<f64>,
}

/// The message that asks for a fetch.
///
/// # Errors
/// `invalid_request` for a field that is not UTF-8, which JSON cannot carry.
pub(super) fn request(id: u64, head: &RequestHead, body: &[u8]) -> Result<String, FetchError> {
    let text = std::str::from_utf8(body).ok();
    let message = Message {
        id,
        url: &head.url,
        method: head.method.as_str(),
        headers: fields(&head.fields)?,
        body: text.filter(|text| !text.is_empty()),
        body_base64: text.is_none().then(|| STANDARD.encode(body)),
        lane: &head.lane,
        timeout: clocks(&head.timeouts),
        redirect: (head.redirect != RedirectMode::Follow).then(|| head.redirect.as_str()),
        decode: (!head.decode).then_some(false),
    };
    serde_json::to_string(&message).map_err(|error| {
        let detail = format!("The request cannot be written as JSON ({error}).");
        FetchError::new(ErrorName::InvalidRequest, detail)
    })
}

/// The message that withdraws a fetch.
pub(super) fn cancel(id: u64) -> String {
    format!("{{\"cancel\":{id}}}")
}

fn fields(fields: &HeaderMap) -> Result<BTreeMap<&str, Cow<'_, str>>, FetchError> {
    let mut texts: BTreeMap<&str, Cow<'_, str>> = BTreeMap::new();
    // The relay counts for itself, and an older one would send the field twice.
    for (name, value) in fields
        .iter()
        .filter(|(name, _)| *name != header::CONTENT_LENGTH)
    {
        let Ok(value) = std::str::from_utf8(value.as_bytes()) else {
            let detail = format!(
                "The field {name} is not UTF-8, and this relay speaks JSON only: leave it out."
            );
            return Err(FetchError::new(ErrorName::InvalidRequest, detail));
        };
        match texts.entry(name.as_str()) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Cow::Borrowed(value));
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                // RFC 9110 section 5.3, and RFC 6265 section 5.4 for cookies.
                let between = if name == header::COOKIE { "; " } else { ", " };
                let joined = entry.get_mut().to_mut();
                joined.push_str(between);
                joined.push_str(value);
            }
        }
    }
    Ok(texts)
}

fn clocks(timeouts: &Timeouts) -> Option<Clocks> {
    if *timeouts == Timeouts::default() {
        return None;
    }
    // Zero is refused in JSON: the shortest clock is a millisecond.
    let millis = |time: Option<Duration>| time.map(|time| (time.as_millis() as f64).max(1.0));
    Some(Clocks {
        connect: millis(timeouts.connect),
        header: millis(timeouts.header),
        body_idle: millis(timeouts.body_idle),
        total: millis(timeouts.total),
    })
}

/// A response, whole.
pub(super) type Whole = (Box<ResponseHead>, Bytes);

/// An answer's id, if it is one of ours, and what became of the fetch.
pub(super) fn answer(text: &[u8]) -> Option<(u64, Result<Whole, FetchError>)> {
    let answer: ClientResponse = serde_json::from_slice(text).ok()?;
    let id = answer.id.as_u64()?;
    Some((id, outcome(answer)))
}

fn outcome(answer: ClientResponse) -> Result<Whole, FetchError> {
    if answer.status == 0 || answer.error.is_some() && answer.error_code.is_some() {
        let known = |code: &str| {
            let mut names = ErrorName::ALL.iter();
            names.find(|name| name.as_str() == code).copied()
        };
        // Older servers give no names.
        let name = answer.error_code.as_deref().and_then(known);
        let name = name.unwrap_or(ErrorName::ProxyInternalError);
        let detail = answer
            .error
            .unwrap_or_else(|| "The relay does not say why.".to_owned());
        return Err(FetchError::new(name, detail));
    }
    let broken = |what: &str| {
        let detail = format!("The relay's answer has {what}: it cannot be read.");
        FetchError::new(ErrorName::HttpProtocolError, detail)
    };
    let status = StatusCode::from_u16(answer.status);
    let status = status.map_err(|_| broken("a status that is none"))?;
    let mut fields = HeaderMap::with_capacity(answer.headers.len());
    let cookies = answer.set_cookie;
    for (name, value) in &answer.headers {
        if name == header::SET_COOKIE.as_str() && !cookies.is_empty() {
            continue;
        }
        let name = HeaderName::try_from(name).map_err(|_| broken("a field's name that is none"))?;
        fields.append(
            name,
            field(value).ok_or_else(|| broken("a forbidden field"))?,
        );
    }
    for cookie in &cookies {
        let value = field(cookie).ok_or_else(|| broken("a forbidden cookie"))?;
        fields.append(header::SET_COOKIE, value);
    }
    let body = match answer.body_base64 {
        Some(coded) => STANDARD
            .decode(coded)
            .map_err(|_| broken("a body that is no base64"))?
            .into(),
        None => answer.body.into(),
    };
    let head = ResponseHead {
        tag: Bytes::new(),
        status,
        url: answer.url.unwrap_or_default(),
        fields,
    };
    Ok((Box::new(head), body))
}

fn field(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> RequestHead {
        let mut fields = HeaderMap::new();
        fields.append("cookie", HeaderValue::from_static("a=1"));
        fields.append("cookie", HeaderValue::from_static("b=2"));
        fields.append("x", HeaderValue::from_static("1"));
        fields.append("x", HeaderValue::from_static("2"));
        RequestHead {
            tag: Bytes::new(),
            method: http::Method::POST,
            url: "https://example.com/".to_owned(),
            lane: "slow".to_owned(),
            redirect: RedirectMode::Manual,
            decode: false,
            timeouts: Timeouts {
                total: Some(Duration::from_secs(2)),
                ..Timeouts::default()
            },
            fields,
        }
    }

    #[test]
    fn a_request_says_everything_and_nothing_twice() {
        let text = request(7, &head(), b"hello").expect("it can be written");
        assert_eq!(
            text,
            r#"{"id":7,"url":"https://example.com/","method":"POST","headers":{"cookie":"a=1; b=2","x":"1, 2"},"body":"hello","lane":"slow","timeout":{"total":2000.0},"redirect":"manual","decode":false}"#
        );
        let text = request(8, &head(), &[0xFF]).expect("it can be written");
        assert!(text.contains(r#""bodyBase64":"/w==""#), "{text}");
    }

    #[test]
    fn answers_are_read_with_and_without_names_of_failures() {
        let (id, whole) = answer(
            br#"{"id":3,"status":200,"headers":{"a":"b","set-cookie":"x=1, y=2"},"setCookie":["x=1","y=2"],"body":"","bodyBase64":"/w==","url":"http://e/"}"#,
        )
        .expect("an answer");
        let (head, body) = whole.expect("a response");
        assert_eq!(
            (id, head.status, &body[..]),
            (3, StatusCode::OK, &[0xFF][..])
        );
        assert_eq!(head.fields.get_all("set-cookie").iter().count(), 2);
        let failed = |text: &[u8]| answer(text).expect("an answer").1.expect_err("it failed");
        let named = failed(
            br#"{"id":3,"status":0,"headers":{},"body":"","error":"no","errorCode":"dns_error"}"#,
        );
        assert_eq!(named.name, ErrorName::DnsError);
        let plain = failed(br#"{"id":3,"status":0,"headers":{},"body":"","error":"no"}"#);
        assert_eq!(
            (plain.name, &*plain.detail),
            (ErrorName::ProxyInternalError, "no")
        );
        assert!(answer(br#"{"id":"unknown","status":0}"#).is_none());
    }
}
