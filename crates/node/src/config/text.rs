//! Small value types of the configuration that are written as text.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::{Deref, RangeInclusive};
use std::str::FromStr;

use fetchway_policy::guard::{HostPattern, IpNet};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::{ApiOrder, ApiUrl, Dur, Pace, Size};

/// The description of a kind of value, for the error about a value that is not a text.
pub trait Expected {
    /// The kind of value, with an example.
    const EXPECTED: &'static str;
}

macro_rules! expected {
    ($($kind:ty = $expected:literal,)*) => {
        $(impl Expected for $kind {
            const EXPECTED: &'static str = $expected;
        })*
    };
}

expected! {
    Dur = "a duration with a unit, such as \"30s\"",
    Size = "a size with a unit, such as \"32MiB\"",
    Pace = "a rate, such as \"100/s\" or \"unlimited\"",
    ListenAddr = "an IP address and a port, such as \"127.0.0.1:8787\"",
    MainListen = "an IP address and a port, such as \"127.0.0.1:8787\", or \"none\"",
    ApiUrl = "the API's URL, such as \"http://127.0.0.1:8000/\"",
    ApiOrder = "\"serial\", or \"parallel(8)\"",
    WebOrigin = "a web origin, such as \"https://app.example.com\"",
    IpNet = "a network, such as \"10.0.0.0/8\"",
    HostPattern = "a host, such as \"example.com\" or \"*.example.com\"",
}

/// Anything that `FromStr` reads and `Display` writes, as a TOML string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<T>(pub T);

impl<T> Deref for Text<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: Expected + FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<T>(PhantomData<T>);
        impl<T: Expected + FromStr<Err: fmt::Display>> Visitor<'_> for TextVisitor<T> {
            type Value = Text<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<T>, E> {
                text.parse().map(Text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
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

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PortsVisitor;
        impl Visitor<'_> for PortsVisitor {
            type Value = Ports;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port or a range of ports")
            }
            fn visit_i64<E: de::Error>(self, port: i64) -> Result<Ports, E> {
                let port = u16::try_from(port).map_err(|_| E::custom(PORTS_EXPECTED))?;
                Ok(Ports(port..=port))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Ports, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(PortsVisitor)
    }
}

/// One address or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Addresses(pub Vec<IpAddr>);

const ADDRESSES_EXPECTED: &str = "expected an IP address or a list of them, such as 192.0.2.7";

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AddressesVisitor;
        impl<'de> Visitor<'de> for AddressesVisitor {
            type Value = Addresses;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an IP address or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Addresses, E> {
                let address = text.parse();
                let address = address.map_err(|_| E::custom(ADDRESSES_EXPECTED))?;
                Ok(Addresses(vec![address]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Addresses, A::Error> {
                let mut addresses = Vec::new();
                while let Some(address) = seq.next_element::<String>()? {
                    let address = address.parse();
                    addresses.push(address.map_err(|_| de::Error::custom(ADDRESSES_EXPECTED))?);
                }
                Ok(Addresses(addresses))
            }
        }
        deserializer.deserialize_any(AddressesVisitor)
    }
}

/// A credential. Neither `Debug` nor `Serialize` shows it; empty means none.
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

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The usual message would quote the value.
        String::deserialize(deserializer)
            .map(Self)
            .map_err(|_| de::Error::custom("expected text in quotes"))
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
        assert_eq!(
            serde_json::to_string(&secret).ok(),
            Some(format!("\"{HIDDEN}\""))
        );
    }
}
