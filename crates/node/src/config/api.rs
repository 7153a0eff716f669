//! Where a gateway's API is, and in which order it gets messages.

use std::fmt;
use std::str::FromStr;

use fetchway_gateway::Order;
use url::Url;

/// Where an API is, and whether it is spoken to in HTTP/2 without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiUrl {
    /// `http` or `https`.
    url: Url,
    h2c: bool,
}

impl ApiUrl {
    /// `http` or `https`.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether it speaks HTTP/2 with prior knowledge (RFC 9113 section 3.3).
    #[must_use]
    pub fn h2c(&self) -> bool {
        self.h2c
    }
}

impl FromStr for ApiUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected the API's URL, such as http://127.0.0.1:8000/, https://… or h2c://… \
                        (HTTP/2 without TLS)";
        let (h2c, text) = match text.split_once("://") {
            Some(("h2c", rest)) => (true, format!("http://{rest}")),
            Some(("http" | "https", _)) => (false, text.to_owned()),
            _ => return Err(expected),
        };
        let url = Url::parse(&text).map_err(|_| expected)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("expected a URL without ? and #: the client's id is put behind its path");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("expected a URL without a user name and password, which are never sent");
        }
        Ok(Self { url, h2c })
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.url.as_str().strip_prefix("http://") {
            Some(rest) if self.h2c => write!(f, "h2c://{rest}"),
            _ => self.url.fmt(f),
        }
    }
}

/// `serial`, or `parallel(8)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiOrder(pub Order);

impl FromStr for ApiOrder {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "serial" {
            return Ok(Self(Order::Serial));
        }
        let count = text.strip_prefix("parallel(");
        let count = count.and_then(|rest| rest.strip_suffix(')')?.parse().ok());
        match count.filter(|count| *count > 0) {
            Some(count) => Ok(Self(Order::Parallel(count))),
            None => Err("expected serial, or parallel(8) with a number of messages, 1 to 65535"),
        }
    }
}

impl fmt::Display for ApiOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Order::Serial => f.write_str("serial"),
            Order::Parallel(count) => write!(f, "parallel({count})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apis_are_read_and_written() {
        for (text, written, h2c) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/", false),
            (
                "https://api.example.com/v1/ws",
                "https://api.example.com/v1/ws",
                false,
            ),
            ("h2c://localhost:80/", "h2c://localhost/", true),
        ] {
            let api: ApiUrl = text.parse().expect(text);
            assert_eq!((api.to_string().as_str(), api.h2c()), (written, h2c));
            assert_eq!(api.to_string().parse(), Ok(api));
        }
        for text in [
            "",
            "127.0.0.1:8000",
            "ws://127.0.0.1/",
            "h2c://",
            "http://a/?x=1",
            "http://a/#x",
            "http://ann@a/",
            "http://:x@a/",
        ] {
            assert!(text.parse::<ApiUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn orders_are_read_and_written() {
        for text in ["serial", "parallel(1)", "parallel(65535)"] {
            let order: ApiOrder = text.parse().expect(text);
            assert_eq!(order.to_string(), text);
        }
        for text in [
            "",
            "parallel",
            "parallel()",
            "parallel(0)",
            "parallel(65536)",
            "Serial",
        ] {
            assert!(text.parse::<ApiOrder>().is_err(), "{text}");
        }
    }
}
