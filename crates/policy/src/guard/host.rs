//! A host name, or all names below one, as configuration writes them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::PatternError;
use crate::excerpt::Excerpt;

/// `example.com` (that name), `*.example.com` (every name below it, not itself), or an IP literal.
///
/// Case and a trailing dot are ignored; international names are kept in their ASCII form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// A name, in lower case and without a trailing dot.
    Name(Box<str>),
    /// The name after `*.`, in lower case and without a trailing dot.
    Below(Box<str>),
    /// An address that a URL has as its host. A name that resolves to the address does not match.
    Literal(IpAddr),
}

impl HostPattern {
    /// Returns true if the pattern covers `host`, as a parsed URL has it (IPv6 with or without brackets).
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        match &self.0 {
            Kind::Name(name) => host.eq_ignore_ascii_case(name),
            Kind::Below(parent) => {
                // Compared as bytes: `host` may be any text, and a cut may be inside a character.
                let (host, parent) = (host.as_bytes(), parent.as_bytes());
                let Some(rest) = host.len().checked_sub(parent.len()) else {
                    return false;
                };
                let (below, tail) = host.split_at(rest);
                below.len() > 1 && below.ends_with(b".") && tail.eq_ignore_ascii_case(parent)
            }
            Kind::Literal(ip) => parse_literal(host).is_some_and(|host| host.to_canonical() == *ip),
        }
    }
}

fn parse_literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse().ok()
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let malformed = || {
            let text = Excerpt(text);
            PatternError(format!(
                "{text} is no host pattern; write a bare name like example.com, or *.example.com \
                 for the names below it"
            ))
        };
        let (below, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if let (false, Some(ip)) = (below, parse_literal(name)) {
            return Ok(Self(Kind::Literal(ip.to_canonical())));
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.contains('*') || name.split('.').any(str::is_empty) {
            return Err(malformed());
        }
        match url::Host::parse(name).map_err(|_| malformed())? {
            url::Host::Domain(name) if below => Ok(Self(Kind::Below(name.into()))),
            url::Host::Domain(name) => Ok(Self(Kind::Name(name.into()))),
            _ if below => Err(malformed()),
            url::Host::Ipv4(ip) => Ok(Self(Kind::Literal(ip.into()))),
            url::Host::Ipv6(ip) => Ok(Self(Kind::Literal(IpAddr::V6(ip).to_canonical()))),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Name(name) => f.write_str(name),
            Kind::Below(parent) => write!(f, "*.{parent}"),
            Kind::Literal(ip) => write!(f, "{ip}"),
        }
    }
}
