//! Small value types of the configuration that are written as text.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use fetchway_policy::guard::{HostPattern, IpNet};
use fetchway_policy::units::{Pace, Size};
use toml::Value;

use super::leaf::Step;
use super::setting::{Given, Reader, Setting, read_text, read_value, text_settings};
use super::{ApiOrder, ApiUrl};

text_settings! {
    Size: "a size with a unit, such as \"32MiB\"",
    Pace: "a rate, such as \"100/s\" or \"unlimited\"",
    ListenAddr: "an IP address and a port, such as \"127.0.0.1:8787\"",
    MainListen: "an IP address and a port, such as \"127.0.0.1:8787\", or \"none\"",
    ApiUrl: "the API's URL, such as \"http://127.0.0.1:8000/\"",
    ApiOrder: "\"serial\", or \"parallel(8)\"",
    WebOrigin: "a web origin, such as \"https://app.example.com\"",
    IpNet: "a network, such as \"10.0.0.0/8\"",
    HostPattern: "a host, such as \"example.com\" or \"*.example.com\"",
}

/// An address and port to listen on; `localhost` stands for 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddr(pub SocketAddr);

impl ListenAddr {
    /// Whether both can't be listened on at once: one port, and one address or all of them.
    pub(super) fn overlaps(self, other: Self) -> bool {
        let (a, b) = (self.0, other.0);
        let takes_all = |all: SocketAddr, one: SocketAddr| {
            all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4())
        };
        a.port() != 0
            && a.port() == b.port()
            && (a.ip() == b.ip() || takes_all(a, b) || takes_all(b, a))
    }
}

impl FromStr for ListenAddr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(port) = text.strip_prefix("localhost:")
            && let Ok(port) = port.parse()
        {
            return Ok(Self(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)));
        }
        text.parse().map(Self).map_err(|_| {
            "expected an IP address and a port, such as 127.0.0.1:8787 or [::1]:8787 (port 0 takes \
             any free one)"
        })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where the main listener listens, or `none`: a node with gateways may do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MainListen(pub Option<ListenAddr>);

impl FromStr for MainListen {
    type Err = <ListenAddr as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self(None)),
            text => text.parse().map(Some).map(Self),
        }
    }
}

impl fmt::Display for MainListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// The origin of a web page as browsers send it: `scheme://host` or `scheme://host:port`, lower
/// case, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(String);

impl WebOrigin {
    /// The text to compare an `Origin` header with.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebOrigin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.to_ascii_lowercase();
        let plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && b != b'*')
        };
        let valid = text.split_once("://").is_some_and(|(scheme, host)| {
            plain(scheme) && plain(host) && !host.contains(['/', '?', '#', '@', ','])
        });
        if valid {
            return Ok(Self(text));
        }
        Err(
            "expected a web origin as browsers send it, such as https://app.example.com or \
             http://localhost:3000, without a path or wildcard",
        )
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A port or a range of ports: `443` or `8000-8999`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(pub RangeInclusive<u16>);

const PORTS_EXPECTED: &str = "expected a port or a range of ports, such as 443 or \"8000-8999\"";

impl FromStr for Ports {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self(first..=last)),
            _ => Err(PORTS_EXPECTED),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.0.start(), self.0.end());
        if first == last {
            write!(f, "{first}")
        } else {
            write!(f, "{first}-{last}")
        }
    }
}

impl Setting for Ports {
    fn read(way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        read_value(way, given.value(), reader, |value| {
            let read = match value {
                Value::Integer(port) => u16::try_from(*port).ok().map(|port| Self(port..=port)),
                value => value.as_str().and_then(|text| text.parse().ok()),
            };
            read.ok_or_else(|| PORTS_EXPECTED.to_owned())
        })
    }

    fn write(&self) -> Option<Value> {
        Some(self.to_string().into())
    }
}

/// One address or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(pub Vec<IpAddr>);

const ADDRESSES_EXPECTED: &str = "expected an IP address or a list of them, such as 192.0.2.7";

impl Setting for IpAddr {
    fn read(way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        read_text((way, given), reader, ADDRESSES_EXPECTED, |text| {
            text.parse().map_err(|_| ADDRESSES_EXPECTED.to_owned())
        })
    }

    fn write(&self) -> Option<Value> {
        Some(self.to_string().into())
    }
}

impl Setting for Addresses {
    fn read(way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let value = given.list();
        let given = Given::Value(&value);
        match value {
            Value::Array(_) => Vec::read(way, given, reader).map(Self),
            _ => IpAddr::read(way, given, reader).map(|address| Self(vec![address])),
        }
    }

    fn write(&self) -> Option<Value> {
        self.0.write()
    }
}

/// A credential. Neither `Debug` nor the printed configuration shows it; empty means none.
///
/// Not comparable with `==`, which would take a time that depends on the credential.
#[derive(Clone, Default)]
pub struct Secret(String);

/// The text in place of a credential wherever one would be printed.
pub const HIDDEN: &str = "(hidden)";

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The credential itself, for comparing. Never for printing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn shown(&self) -> &'static str {
        if self.is_empty() { "" } else { HIDDEN }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl Setting for Secret {
    fn read(way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let expected = "expected text in quotes";
        read_text((way, given), reader, expected, |text| Ok(Self::new(text)))
    }

    fn write(&self) -> Option<Value> {
        (!self.is_empty()).then(|| HIDDEN.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on() {
        for (text, written) in [
            ("127.0.0.1:8787", "127.0.0.1:8787"),
            ("localhost:0", "127.0.0.1:0"),
            ("[::]:80", "[::]:80"),
        ] {
            assert_eq!(text.parse::<ListenAddr>().expect(text).to_string(), written);
        }
        for text in [
            "8787",
            ":8787",
            "example.com:80",
            "127.0.0.1",
            "localhost:x",
        ] {
            assert!(text.parse::<ListenAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn web_origins_have_no_path_and_no_wildcard() {
        assert_eq!(
            "https://App.example.com"
                .parse::<WebOrigin>()
                .map(|o| o.to_string()),
            Ok("https://app.example.com".to_owned())
        );
        for text in [
            "",
            "*",
            "null",
            "app.example.com",
            "https://a/b",
            "https://*.a.com",
            "http://",
        ] {
            assert!(text.parse::<WebOrigin>().is_err(), "{text}");
        }
    }

    #[test]
    fn ports_and_ranges() {
        assert_eq!("443".parse(), Ok(Ports(443..=443)));
        assert_eq!("8000-8999".parse(), Ok(Ports(8000..=8999)));
        for text in ["", "x", "9-8", "70000", "1-2-3"] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2-hunter2-hunter2");
        assert_eq!(format!("{secret:?}"), HIDDEN);
        assert_eq!(secret.write(), Some(HIDDEN.into()));
    }
}
