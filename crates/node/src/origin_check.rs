//! Keeps web pages from driving a node on their reader's loopback.
//!
//! A browser sends what a page asks for to any address, and says so only in headers: `Origin`
//! (WebSockets, POST, most of fetch), `Sec-Fetch-Site` (also plain GETs, such as images), and a
//! foreign name in `Host` where the page's own name was rebound to a loopback address.

use std::net::{IpAddr, Ipv6Addr};

use http::header::{HOST, HeaderMap, ORIGIN};
use http::uri::Authority;
use http::{StatusCode, Uri};

use crate::config::WebOrigin;
use fetchway_service::problem::{Answer, problem};

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The page's origin is not on the list.
    Origin,
    /// The name asked for is none of loopback's.
    Host,
}

impl Refusal {
    pub(crate) fn answer(self) -> Answer {
        let detail = match self {
            Self::Origin => {
                "The web page that sent this request may not use this node; add its origin to \
                 allow-origins, or send the request from a program."
            }
            Self::Host => {
                "This listener answers only to localhost and loopback addresses; ask for it by one \
                 of those."
            }
        };
        problem(StatusCode::FORBIDDEN, detail)
    }
}

/// The check of one listener. It comes before everything else, on every route.
#[derive(Clone, Debug)]
pub(crate) struct OriginCheck {
    allowed: Vec<WebOrigin>,
    loopback_names_only: bool,
}

impl OriginCheck {
    /// `loopback_names_only` is for listeners that anyone on this machine may use.
    pub(crate) fn new(allowed: &[WebOrigin], loopback_names_only: bool) -> Self {
        Self {
            allowed: allowed.to_vec(),
            loopback_names_only,
        }
    }

    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        if !self.origin_allowed(headers) {
            return Err(Refusal::Origin);
        }
        if self.loopback_names_only && !asks_for_loopback(uri, headers) {
            return Err(Refusal::Host);
        }
        Ok(())
    }

    fn origin_allowed(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter().peekable();
        if origins.peek().is_none() {
            // Current browsers say on every request whether another site's page made it.
            return headers
                .get_all("sec-fetch-site")
                .iter()
                .all(|site| site == "none" || site == "same-origin");
        }
        origins.all(|origin| {
            self.allowed
                .iter()
                .any(|allowed| allowed.as_str().as_bytes() == origin.as_bytes())
        })
    }
}

/// Whether each name that the request gives for us is a loopback one, and it gives one at all.
fn asks_for_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    // A request line may name a host of its own (RFC 9112 section 3.2.2).
    if uri.authority().is_some_and(|named| !is_loopback(named)) {
        return false;
    }
    let mut hosts = headers.get_all(HOST).iter().peekable();
    hosts.peek().is_some()
        && hosts
            .all(|host| Authority::try_from(host.as_bytes()).is_ok_and(|named| is_loopback(&named)))
}

fn is_loopback(named: &Authority) -> bool {
    if named.as_str().contains('@') {
        return false;
    }
    let host = named.host();
    let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    match literal {
        Some(literal) => literal
            .parse::<Ipv6Addr>()
            .is_ok_and(|ip| IpAddr::V6(ip).to_canonical().is_loopback()),
        None => {
            let name = host.strip_suffix('.').unwrap_or(host);
            name.eq_ignore_ascii_case("localhost")
                || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        allowed: &[&str],
        loopback: bool,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> Result<(), Refusal> {
        let allowed: Vec<_> = allowed
            .iter()
            .map(|o| o.parse().expect("a valid origin"))
            .collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().expect("a valid name");
            map.append(name, value.parse().expect("a valid value"));
        }
        let uri = uri.parse().expect("a valid URI");
        OriginCheck::new(&allowed, loopback).check(&uri, &map)
    }

    #[test]
    fn a_page_needs_to_be_on_the_list() {
        let app = &["https://app.example.com"];
        assert_eq!(check(app, false, "/", &[]), Ok(()));
        assert_eq!(
            check(app, false, "/", &[("origin", "https://app.example.com")]),
            Ok(())
        );
        for origin in [
            "https://evil.example.com",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.com",
            "http://127.0.0.1:8787",
            "null",
            "",
        ] {
            let refused = check(app, false, "/", &[("origin", origin)]);
            assert_eq!(refused, Err(Refusal::Origin), "{origin}");
        }
        let two = [
            ("origin", "https://app.example.com"),
            ("origin", "https://evil.com"),
        ];
        assert_eq!(check(app, false, "/", &two), Err(Refusal::Origin));
    }

    #[test]
    fn a_request_without_origin_may_still_be_a_pages() {
        for (site, expected) in [
            ("none", Ok(())),
            ("same-origin", Ok(())),
            ("same-site", Err(Refusal::Origin)),
            ("cross-site", Err(Refusal::Origin)),
        ] {
            assert_eq!(
                check(&[], false, "/", &[("sec-fetch-site", site)]),
                expected,
                "{site}"
            );
        }
        let listed = [
            ("origin", "https://a.com"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert_eq!(check(&["https://a.com"], false, "/", &listed), Ok(()));
    }

    #[test]
    fn only_loopback_names_where_that_is_asked_for() {
        for host in [
            "localhost",
            "LOCALHOST:8787",
            "localhost.",
            "127.0.0.1",
            "127.8.9.1:80",
            "[::1]",
            "[::1]:9787",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(check(&[], true, "/", &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.com",
            "evil.com:8787",
            "localhost.evil.com",
            "127.0.0.1.evil.com",
            "10.0.0.1",
            "[::2]",
            "localhost@evil.com",
            "evil.com@localhost",
            "",
            "::1",
        ] {
            assert_eq!(
                check(&[], true, "/", &[("host", host)]),
                Err(Refusal::Host),
                "{host}"
            );
            assert_eq!(check(&[], false, "/", &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(check(&[], true, "/", &[]), Err(Refusal::Host));
        let two = [("host", "localhost"), ("host", "evil.com")];
        assert_eq!(check(&[], true, "/", &two), Err(Refusal::Host));
        let absolute = check(&[], true, "http://evil.com/", &[("host", "localhost")]);
        assert_eq!(absolute, Err(Refusal::Host));
    }
}
