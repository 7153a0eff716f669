//! Header fields and methods: which of them pass through, and which concern only two neighbours.
//!
//! These rules run on every fetch, so they compare with static names, and allocate nothing except the
//! fields that they return.

use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::excerpt::Excerpt;
use crate::{ErrorName, FetchError};

/// A content coding. In a list of codings, the one applied last stands last and is undone first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// `gzip` or `x-gzip`, RFC 9110 section 8.4.1.3.
    Gzip,
    /// `br`, RFC 7932.
    Brotli,
    /// `zstd`, RFC 8878.
    Zstd,
    /// `deflate`, RFC 9110 section 8.4.1.2: zlib by the letter, often raw deflate in the wild.
    Deflate,
}

/// Maximum number of codings of one body: each further one multiplies the size to which a small body can
/// grow.
pub const MAX_CODINGS: usize = 2;

/// Returns a caller's request field as it may be sent, or `None` if fields of its name are not passed on:
/// hop-by-hop fields (RFC 9110 section 7.6.1), `Host`, `Content-Length` and `Expect`.
///
/// Spaces and tabs around the value are removed (section 5.5). The value may have bytes above 0x7f.
///
/// # Errors
/// `invalid_request` if the name is not a token, or the value has a control character: with a line break, a
/// caller could add fields or whole requests. The error does not repeat the value, which may be a secret.
pub fn request_field(
    name: &str,
    value: &str,
) -> Result<Option<(HeaderName, HeaderValue)>, FetchError> {
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err(malformed_name(name));
    };
    let Ok(value) = HeaderValue::from_bytes(value.trim_matches([' ', '\t']).as_bytes()) else {
        return Err(invalid(format!(
            "the value of the header {} holds a line break or another control character; remove it",
            Excerpt(header.as_str())
        )));
    };
    let passes = !is_ours(header.as_str());
    Ok(passes.then_some((header, value)))
}

/// Returns the error of an invalid name. The error shows only the beginning of the name, because in a name
/// such as `Authorization: Bearer …` the rest is a secret.
fn malformed_name(name: &str) -> FetchError {
    let mut later = name.char_indices().skip(1);
    let ends = later.find(|(_, c)| matches!(c, ':' | ' ' | '\t' | '\r' | '\n'));
    let Some((at, after)) = ends else {
        let name = Excerpt(name);
        return invalid(format!(
            "the header name {name} is malformed; use letters, digits and hyphens"
        ));
    };
    let after = match after {
        ' ' => "a space",
        ':' => "a colon",
        _ => "a tab or line break",
    };
    invalid(format!(
        "the header name that begins with {} goes on with {after}; use letters, digits and hyphens",
        Excerpt(&name[..at])
    ))
}

/// Removes from a request what [`request_field`] ignores, and what its `Connection` nominates.
pub fn strip_request(headers: &mut HeaderMap) {
    remove_nominated(headers);
    remove_where(headers, is_ours);
}

/// Removes hop-by-hop fields from a response, and what its `Connection` nominates.
///
/// An origin may nominate any field, such as `Content-Encoding`. Fields that are needed for the body must
/// therefore be read before, as [`content_codings`] does.
pub fn strip_response(headers: &mut HeaderMap) {
    remove_nominated(headers);
    remove_where(headers, is_hop_by_hop);
}

/// Removes the fields that are wrong once a body is decoded.
pub fn strip_decoded(headers: &mut HeaderMap) {
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
}

/// Fields for the next hop only: RFC 9110 section 7.6.1, older practice, and fields for proxies.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-authentication-info"
            | "http2-settings"
    )
}

/// Request fields that the engine sets itself, or never.
fn is_ours(name: &str) -> bool {
    matches!(name, "host" | "content-length" | "expect") || is_hop_by_hop(name)
}

/// Checks all names once. Usually there is little or nothing to remove.
fn remove_where(headers: &mut HeaderMap, unwanted: fn(&str) -> bool) {
    while let Some(name) = headers.keys().find(|name| unwanted(name.as_str())).cloned() {
        headers.remove(name);
    }
}

fn remove_nominated(headers: &mut HeaderMap) {
    // The usual options name no fields, or fields that are removed anyway. Without others, nothing is
    // allocated.
    let nominated: Vec<HeaderName> = list_members(headers.get_all(CONNECTION))
        .filter(|option| !option.eq_ignore_ascii_case(b"close"))
        .filter(|option| !option.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .collect();
    for name in nominated {
        headers.remove(name);
    }
}

/// Returns the non-empty members of a comma-separated list field (RFC 9110 section 5.6.1). Not for lists
/// whose members may be quoted.
fn list_members<'a>(
    lines: impl IntoIterator<Item = &'a HeaderValue>,
) -> impl Iterator<Item = &'a [u8]> {
    lines
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|&b| b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// Returns the codings of a response body, in the order in which they were applied, without `identity`.
///
/// # Errors
/// `http_response_content_coding` for an unknown coding or more than [`MAX_CODINGS`].
pub fn content_codings(headers: &HeaderMap) -> Result<Vec<Coding>, FetchError> {
    let mut codings = Vec::new();
    for member in list_members(headers.get_all(CONTENT_ENCODING)) {
        let Some(coding) = coding(member)? else {
            continue;
        };
        if codings.len() == MAX_CODINGS {
            return Err(FetchError::new(
                ErrorName::HttpResponseContentCoding,
                "the response body has more than two content codings; fetch it with `decode: false`",
            ));
        }
        codings.push(coding);
    }
    Ok(codings)
}

fn coding(name: &[u8]) -> Result<Option<Coding>, FetchError> {
    const KNOWN: [(&[u8], Option<Coding>); 6] = [
        (b"gzip", Some(Coding::Gzip)),
        (b"br", Some(Coding::Brotli)),
        (b"zstd", Some(Coding::Zstd)),
        (b"deflate", Some(Coding::Deflate)),
        (b"x-gzip", Some(Coding::Gzip)),
        (b"identity", None),
    ];
    if let Some(&(_, coding)) = KNOWN.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
        return Ok(coding);
    }
    let name = String::from_utf8_lossy(name);
    Err(FetchError::new(
        ErrorName::HttpResponseContentCoding,
        format!(
            "the response body has the unknown content coding {}; fetch it with `decode: false`",
            Excerpt(&name)
        ),
    ))
}

/// Returns the method called `name`, normalised as in WHATWG fetch: the six usual names in any case, others
/// as written (`patch` is not `PATCH`). An empty name means GET.
///
/// # Errors
/// `invalid_request` if the name is not a token, or is one of CONNECT, TRACE and TRACK.
pub fn method(name: &str) -> Result<Method, FetchError> {
    const NORMALISED: [Method; 6] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
    ];
    if name.is_empty() {
        return Ok(Method::GET);
    }
    if let Some(method) = NORMALISED
        .into_iter()
        .find(|method| method.as_str().eq_ignore_ascii_case(name))
    {
        return Ok(method);
    }
    if ["CONNECT", "TRACE", "TRACK"]
        .iter()
        .any(|refused| refused.eq_ignore_ascii_case(name))
    {
        return Err(invalid(format!(
            "the method {} cannot be relayed; use another",
            Excerpt(name)
        )));
    }
    Method::from_bytes(name.as_bytes()).map_err(|_| {
        invalid(format!(
            "the method {} is malformed; use a word like GET",
            Excerpt(name)
        ))
    })
}

fn invalid(detail: String) -> FetchError {
    FetchError::new(ErrorName::InvalidRequest, detail)
}
