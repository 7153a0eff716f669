//! Which header fields and methods pass through us, and which stay between two neighbours.
//!
//! These rules run on every fetch, so they compare against static names and allocate nothing beyond
//! the fields they hand out.

use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::excerpt::Excerpt;
use crate::{ErrorName, FetchError};

/// How a body is coded. In a list, the coding applied last stands last and is undone first.
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

/// Codings of one body at most: each further one multiplies what a small body can swell to.
pub const MAX_CODINGS: usize = 2;

/// A caller's request field as it may be sent, or nothing if fields of its name are not passed on:
/// hop-by-hop ones (RFC 9110 section 7.6.1), `Host`, `Content-Length` and `Expect`.
///
/// Spaces and tabs around the value are cut off (section 5.5); it may hold bytes above 0x7f.
///
/// # Errors
/// `invalid_request` if the name is no token or the value holds a control character: a line break
/// would begin a field, or a request, of the caller's making. The value is never repeated, as it may
/// be a secret.
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

/// What is wrong with a name. Only its beginning is shown: `Authorization: Bearer …` given as a name
/// has swallowed its value.
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
/// An origin may nominate anything, `Content-Encoding` included: read what is needed for handling
/// the body, as [`content_codings`] does, before this.
pub fn strip_response(headers: &mut HeaderMap) {
    remove_nominated(headers);
    remove_where(headers, is_hop_by_hop);
}

/// Removes the fields that no longer hold once a body is decoded.
pub fn strip_decoded(headers: &mut HeaderMap) {
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
}

/// Fields that are meant for the next hop only: RFC 9110 section 7.6.1, older practice, and what
/// speaks to a proxy, which we don't use.
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

/// Request fields that we set ourselves or not at all.
fn is_ours(name: &str) -> bool {
    matches!(name, "host" | "content-length" | "expect") || is_hop_by_hop(name)
}

/// One look through the names; usually there is little or nothing to remove.
fn remove_where(headers: &mut HeaderMap, unwanted: fn(&str) -> bool) {
    while let Some(name) = headers.keys().find(|name| unwanted(name.as_str())).cloned() {
        headers.remove(name);
    }
}

fn remove_nominated(headers: &mut HeaderMap) {
    // The usual options are no fields or removed anyway. Without others this allocates nothing.
    let nominated: Vec<HeaderName> = list_members(headers.get_all(CONNECTION))
        .filter(|option| !option.eq_ignore_ascii_case(b"close"))
        .filter(|option| !option.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .collect();
    for name in nominated {
        headers.remove(name);
    }
}

/// The non-empty members of a comma-separated list field (RFC 9110 section 5.6.1). Not for lists
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

/// The codings of a response body, in the order in which they were applied; `identity` left out.
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

/// The method that `name` stands for, as WHATWG fetch normalises it: the six usual ones in any case,
/// others as they are written (`patch` is not `PATCH`); an empty name is GET.
///
/// # Errors
/// `invalid_request` if it is no token, or one of CONNECT, TRACE and TRACK.
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
