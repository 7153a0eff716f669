//! The target of a fetch: URLs from callers, and the part of a URL that is sent.

use http::uri::PathAndQuery;
use url::{ParseError, Position, Url};

use crate::excerpt::Excerpt;
use crate::{ErrorName, FetchError};

/// Maximum number of bytes of a URL, as given and as parsed. A longer one is refused. Servers commonly stop
/// at 8 KiB; this limit leaves room, and is below the limit of `http::Uri`.
pub const MAX_URL_BYTES: usize = 64 << 10;

/// Parses the URL of a caller, by the WHATWG URL rules.
///
/// The parser normalises: numeric hosts become dotted addresses, `..` is resolved, and so is `%2e%2e`.
/// **Hazard:** an escaped identifier in a path may lose its dots. A fragment is kept for the final URL;
/// [`target`] leaves it out.
///
/// # Errors
/// `invalid_request` if the URL is too long, does not parse, is neither http nor https, or has credentials.
/// The error does not repeat the URL, whose query may be a secret.
pub fn parse_url(text: &str) -> Result<Url, FetchError> {
    if text.len() > MAX_URL_BYTES {
        return Err(too_long());
    }
    let url = Url::parse(text).map_err(|error| match error {
        ParseError::RelativeUrlWithoutBase => {
            invalid("the URL has no scheme; begin it with http:// or https://".to_owned())
        }
        other => invalid(format!("the URL does not parse ({other}); correct it")),
    })?;
    if !is_http(&url) {
        return Err(invalid(format!(
            "URLs of scheme {} cannot be fetched; use http or https",
            Excerpt(url.scheme())
        )));
    }
    // The parser promises a host for these schemes. The dialling code relies on it, so it is checked.
    if !url.has_host() {
        return Err(invalid("the URL has no host; name one".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "the URL carries a user name or password; send an Authorization header instead"
                .to_owned(),
        ));
    }
    // Escaping may have made the URL longer.
    if url.as_str().len() > MAX_URL_BYTES {
        return Err(too_long());
    }
    Ok(url)
}

/// Returns the part of `url` that is sent in the request: path and query, without the fragment.
///
/// # Errors
/// `invalid_request` if the part has characters that HTTP cannot carry. No URL from [`parse_url`] does.
pub fn target(url: &Url) -> Result<PathAndQuery, FetchError> {
    PathAndQuery::try_from(&url[Position::BeforePath..Position::AfterQuery]).map_err(|error| {
        invalid(format!(
            "the URL's path or query cannot be sent ({error}); escape it"
        ))
    })
}

/// Returns true if both URLs have the same origin: scheme, host and port.
#[must_use]
pub fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host() == b.host()
        && a.port_or_known_default() == b.port_or_known_default()
}

pub(super) fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

fn too_long() -> FetchError {
    invalid(format!(
        "the URL is longer than {MAX_URL_BYTES} bytes; shorten it or send a body"
    ))
}

fn invalid(detail: String) -> FetchError {
    FetchError::new(ErrorName::InvalidRequest, detail)
}
