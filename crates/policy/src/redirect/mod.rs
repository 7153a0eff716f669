//! Redirects, as "HTTP-redirect fetch" of WHATWG fetch.
//!
//! Each hop is decided by itself. The caller counts the hops, checks the new URL against the address policy
//! like the first one, and takes the permits of its origin.

mod target;

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, COOKIE, HOST, LOCATION, PROXY_AUTHORIZATION,
};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use url::Url;

use crate::excerpt::Excerpt;
use crate::{ErrorName, FetchError};

pub use target::{MAX_URL_BYTES, parse_url, same_origin, target};

/// Maximum number of redirects that one fetch follows. The next one ends the fetch with `limit_exceeded`.
pub const MAX_REDIRECTS: u32 = 20;

/// A caller's choice for redirects (WHATWG fetch, "redirect mode").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RedirectMode {
    /// Follow redirects.
    #[default]
    Follow,
    /// Hand redirects over like any other response.
    Manual,
    /// Fail at a redirect.
    Error,
}

impl RedirectMode {
    /// The name of the mode in WHATWG fetch.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Follow => "follow",
            Self::Manual => "manual",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for RedirectMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RedirectMode {
    type Err = FetchError;

    fn from_str(word: &str) -> Result<Self, FetchError> {
        match word {
            "follow" => Ok(Self::Follow),
            "manual" => Ok(Self::Manual),
            "error" => Ok(Self::Error),
            other => Err(FetchError::new(
                ErrorName::InvalidRequest,
                format!(
                    "the redirect mode {} is unknown; use `follow`, `manual` or `error`",
                    Excerpt(other)
                ),
            )),
        }
    }
}

/// A response that may be a redirect, and the request it answers.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// URL of the request.
    pub url: &'a Url,
    /// Method of the request.
    pub method: &'a Method,
    /// Status of the response.
    pub status: StatusCode,
    /// The response's `Location`, as [`location`] returns it.
    pub location: Option<&'a [u8]>,
    /// Number of redirects that this fetch has followed already.
    pub followed: u32,
    /// Set if the body can be sent again: there is none, or it was kept.
    pub replayable: bool,
}

/// The next request of a redirected fetch, as far as it differs from the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// URL of the request: http or https, without credentials.
    pub url: Url,
    /// Method of the request.
    pub method: Method,
    /// Set if the request has no body, and none of the fields that describe one.
    pub drop_body: bool,
    /// Set if the request goes to another origin, which must not see the credentials for the last one.
    pub cross_origin: bool,
}

/// Returns the `Location` of a response.
///
/// # Errors
/// `http_protocol_error` if there are several that differ: choosing one would be a guess, and an attacker
/// who can add a field must not win.
pub fn location(headers: &HeaderMap) -> Result<Option<&[u8]>, FetchError> {
    let mut values = headers.get_all(LOCATION).iter();
    let first = values.next();
    if values.any(|value| Some(value) != first) {
        return Err(malformed("the origin's redirect has several locations"));
    }
    Ok(first.map(http::HeaderValue::as_bytes))
}

/// Decides about the next request after a response. `None` means that the response is handed over.
///
/// # Errors
/// `http_request_denied` if `mode` is `error`, if the new URL is neither http nor https, or if the
/// body would have to be sent again and cannot be; `http_protocol_error` for a location that does
/// not parse; `limit_exceeded` after [`MAX_REDIRECTS`].
pub fn decide(mode: RedirectMode, hop: &Hop<'_>) -> Result<Option<Follow>, FetchError> {
    if mode == RedirectMode::Manual || !is_redirect(hop.status) {
        return Ok(None);
    }
    if mode == RedirectMode::Error {
        return Err(denied(
            "the origin answered with a redirect, which the redirect mode `error` refuses; use \
             `follow` or `manual`",
        ));
    }
    let Some(location) = hop.location else {
        return Ok(None);
    };
    let url = resolve(hop.url, location)?;
    if hop.followed >= MAX_REDIRECTS {
        return Err(FetchError::new(
            ErrorName::LimitExceeded,
            format!(
                "the fetch was redirected more than {MAX_REDIRECTS} times; look for a loop, or use \
                 the redirect mode `manual`"
            ),
        ));
    }
    let to_get = becomes_get(hop.status, hop.method);
    if !to_get && !hop.replayable {
        return Err(denied(
            "the redirect asks for the body to be sent again, which was not kept; send it to the \
             final URL, or use the redirect mode `manual`",
        ));
    }
    let cross_origin = !same_origin(hop.url, &url);
    let method = if to_get { &Method::GET } else { hop.method };
    Ok(Some(Follow {
        url,
        method: method.clone(),
        drop_body: to_get,
        cross_origin,
    }))
}

impl Follow {
    /// Removes the fields of the last request that the next one must not have.
    ///
    /// Only the standard credential fields are known here. A key in another field (`X-Api-Key`) is sent
    /// again, as curl and browsers do.
    pub fn apply(&self, headers: &mut HeaderMap) {
        const BODY: [HeaderName; 5] = [
            CONTENT_ENCODING,
            CONTENT_LANGUAGE,
            CONTENT_LOCATION,
            CONTENT_TYPE,
            CONTENT_LENGTH,
        ];
        const CREDENTIALS: [HeaderName; 4] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST];
        if self.drop_body {
            for name in BODY {
                headers.remove(name);
            }
        }
        if self.cross_origin {
            for name in CREDENTIALS {
                headers.remove(name);
            }
            headers.remove("cookie2");
        }
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn becomes_get(status: StatusCode, method: &Method) -> bool {
    match status.as_u16() {
        301 | 302 => *method == Method::POST,
        303 => *method != Method::GET && *method != Method::HEAD,
        _ => false,
    }
}

/// Returns the URL that a `Location` of a response from `base` means: http or https, without credentials.
/// Other fields with a URL are read by this function too.
///
/// # Errors
/// `http_protocol_error` if it is no URL or too long; `http_request_denied` for another scheme.
pub fn resolve(base: &Url, location: &[u8]) -> Result<Url, FetchError> {
    let unusable = || malformed("the origin's redirect has a location that is no URL");
    if location.len() > MAX_URL_BYTES {
        return Err(unusable());
    }
    let mut url = base.join(&escape_high(location)).map_err(|_| unusable())?;
    if !target::is_http(&url) {
        return Err(denied(format!(
            "the origin redirects to the scheme {}, which cannot be fetched; use the redirect mode \
             `manual`",
            Excerpt(url.scheme())
        )));
    }
    // An origin may add credentials for another origin or for itself. The caller wants neither. Neither
    // call can fail, because an http URL has a host.
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err(unusable());
    }
    if url.fragment().is_none() {
        url.set_fragment(base.fragment());
    }
    if url.as_str().len() > MAX_URL_BYTES {
        return Err(unusable());
    }
    Ok(url)
}

/// Returns `Location` with its non-ASCII bytes percent-encoded as they are, whatever their encoding, as
/// browsers do. In a host, the URL parser decodes them again as UTF-8.
fn escape_high(location: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(location)
        && text.is_ascii()
    {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(location.len() * 3);
    for &byte in location {
        if byte.is_ascii() {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    Cow::Owned(escaped)
}

fn malformed(what: &str) -> FetchError {
    FetchError::new(
        ErrorName::HttpProtocolError,
        format!("{what}; use the redirect mode `manual` to look at it"),
    )
}

fn denied(detail: impl Into<Cow<'static, str>>) -> FetchError {
    FetchError::new(ErrorName::HttpRequestDenied, detail)
}
