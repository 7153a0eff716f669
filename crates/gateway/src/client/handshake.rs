//! A client's handshake: its id, its address, and the fields that the API is to see.

use std::net::{IpAddr, SocketAddr};

use fetchway_policy::guard::IpNet;
use http::header::{FORWARDED, HOST, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Bytes of the longest client id, decoded.
const MAX_ID: usize = 512;

/// The sender of a request.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The sender's address.
    pub addr: SocketAddr,
    /// A proxy has passed the connection on without saying whose it is: `addr` is the proxy's own, and
    /// nothing that the request says of its way is believed.
    pub is_unnamed: bool,
    /// The request came over TLS.
    pub tls: bool,
    /// The sender has shown the push credential.
    pub authorized: bool,
}

/// Returns the client id, which is the decoded first segment of the path, and the rest of the path, still
/// encoded.
///
/// # Errors
/// The reason why the path has no client id.
pub(crate) fn client_id(path: &str) -> Result<(String, &str), &'static str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (first, rest) = match path.find('/') {
        Some(at) => path.split_at(at),
        None => (path, ""),
    };
    let id = percent_decode_str(first).decode_utf8();
    let id = id.map_err(|_| "the client id is not UTF-8")?;
    match &*id {
        "" => Err("the path has no client id"),
        // As a segment it would lead elsewhere, however it is encoded.
        "." | ".." => Err("the client id leads to another path"),
        id if id.len() > MAX_ID => Err("the client id is longer than 512 bytes"),
        id if id.chars().any(char::is_control) => Err("the client id has control characters"),
        id => Ok((id.to_owned(), rest)),
    }
}

/// Returns the path behind the id and the query, as the client wrote them; nothing if a segment leads up.
pub(crate) fn beyond(rest: &str, uri: &Uri) -> Option<String> {
    let up = |segment: &str| {
        let decoded = percent_decode_str(segment).decode_utf8_lossy();
        matches!(&*decoded, "." | "..")
    };
    if rest.split('/').any(up) {
        return None;
    }
    // Left as it is, it would be read as a slash where the URL is put together.
    let rest = rest.replace('\\', "%5C");
    Some(match uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest,
    })
}

/// Returns true if only the gateway and the API may set fields of this name, never a client.
pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("fetchway-") || name.starts_with("webhook-")
}

fn is_forwarding(name: &HeaderName) -> bool {
    *name == FORWARDED || name.as_str().starts_with("x-forwarded-")
}

fn is_trusted(trusted: &[IpNet], peer: IpAddr) -> bool {
    trusted.iter().any(|net| net.contains(peer))
}

/// Returns the address from which a request comes: the peer's, or the one that a `trusted` proxy names.
pub(crate) fn address(trusted: &[IpNet], headers: &HeaderMap, peer: Peer) -> IpAddr {
    let mut address = peer.addr.ip().to_canonical();
    // From the right, as each proxy adds at the end whom it has seen itself.
    let named = headers.get_all(X_FORWARDED_FOR).iter();
    let named: Vec<&str> = named
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    for name in named.iter().rev() {
        if peer.is_unnamed || !is_trusted(trusted, address) {
            break;
        }
        match name.trim().parse::<IpAddr>() {
            Ok(ip) => address = ip.to_canonical(),
            Err(_) => break,
        }
    }
    address
}

/// Returns the fields of a client's handshake as the API sees them. Those about the way of the request are
/// passed on from `trusted` proxies only.
pub(crate) fn passed_on(trusted: &[IpNet], headers: &HeaderMap, peer: Peer) -> HeaderMap {
    let from = peer.addr.ip().to_canonical();
    let is_believed = !peer.is_unnamed && is_trusted(trusted, from);
    let mut passed = HeaderMap::with_capacity(headers.len() + 8);
    for (name, value) in headers {
        let websocket = name.as_str().starts_with("sec-websocket-");
        let ours = is_reserved(name) || websocket && *name != SEC_WEBSOCKET_PROTOCOL;
        if !ours && (is_believed || !is_forwarding(name)) {
            passed.append(name, value.clone());
        }
    }
    // Of several lines the last ones are by the proxies that are nearest.
    let before = passed.get_all(X_FORWARDED_FOR).iter();
    let mut hops: Vec<&str> = before.filter_map(|line| line.to_str().ok()).collect();
    let from = from.to_string();
    hops.push(&from);
    if let Ok(from) = HeaderValue::try_from(hops.join(", ")) {
        passed.insert(X_FORWARDED_FOR, from);
    }
    if !passed.contains_key(X_FORWARDED_PROTO) {
        let scheme = if peer.tls { "https" } else { "http" };
        passed.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    if let Some(host) = headers.get(HOST)
        && !passed.contains_key(X_FORWARDED_HOST)
    {
        passed.insert(X_FORWARDED_HOST, host.clone());
    }
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_decoded_first_segment() {
        for (path, id, rest) in [
            ("/a", "a", ""),
            ("/a/b/c", "a", "/b/c"),
            ("/a%20b%2Fc", "a b/c", ""),
            ("/%C3%A9/", "é", "/"),
            ("/...", "...", ""),
        ] {
            assert_eq!(client_id(path), Ok((id.to_owned(), rest)), "{path}");
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let long = format!("/{}", "x".repeat(513));
        for path in [
            "/",
            "",
            "//a",
            "/.",
            "/..",
            "/%2e",
            "/%2E%2e/a",
            "/%ff",
            "/a%00",
            "/a%0d%0a",
            &long,
        ] {
            assert!(client_id(path).is_err(), "{path}");
        }
    }

    #[test]
    fn what_is_behind_the_id_never_leads_up() {
        let uri: Uri = "/a/b?x=1".parse().expect("a URI");
        assert_eq!(beyond("/b", &uri).as_deref(), Some("/b?x=1"));
        let slash = beyond("/b\\..\\c", &uri);
        assert_eq!(
            slash.as_deref(),
            Some("/b%5C..%5Cc?x=1"),
            "to a URL it is a slash"
        );
        for rest in ["/..", "/b/%2e%2E/c", "/./c"] {
            assert_eq!(beyond(rest, &uri), None, "{rest}");
        }
    }
}
