//! The PROXY protocol's header, versions 1 and 2, by HAProxy's specification: whom a proxy names as the
//! client of a connection, before the connection's first own byte.
//!
//! Strict: what a proxy must not send is refused, and so is all that a client by itself would send.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of the longest header of version 1, its line end included (section 2.1).
pub const MAX_V1: usize = 107;

/// Bytes of the longest header of version 2 that is taken. Addresses need 52; the rest is for TLVs, of
/// which certificates' names are the longest. The specification's own limit is 65,551.
pub const MAX_V2: usize = 2_048;

/// What a header of version 2 begins with (section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// It, and what says how much follows.
const FIXED: usize = 16;
const LINE: &[u8] = b"PROXY ";

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whom it names.
    pub named: Named,
    /// Its bytes: what stands behind them is the connection's own.
    pub len: usize,
}

/// Who has opened the connection to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A client at this address.
    Client(SocketAddr),
    /// Nobody that has an IP address, or the proxy itself, as for a health check.
    Nobody,
}

/// The bytes are no header: the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// Reads a header from the front of `bytes`; none while more bytes are needed. What it has said once
/// stays so, whatever follows.
///
/// # Errors
/// What is wrong with it, as soon as that is known.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    match bytes.first() {
        None => Ok(None),
        Some(&first) if first == SIGNATURE[0] => v2(bytes),
        Some(_) => v1(bytes),
    }
}

fn begins(bytes: &[u8], with: &[u8]) -> bool {
    bytes.iter().zip(with).all(|(byte, wanted)| byte == wanted)
}

/// A line of text (section 2.1).
fn v1(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    if !begins(bytes, LINE) {
        return Err(Malformed("it begins with no PROXY protocol header"));
    }
    let seen = &bytes[..bytes.len().min(MAX_V1)];
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return match bytes.len() < MAX_V1 {
            true => Ok(None),
            false => Err(Malformed("the PROXY line is longer than 107 bytes")),
        };
    };
    Ok(Some(Header {
        named: line(seen.get(LINE.len()..end).unwrap_or_default())?,
        len: end + 2,
    }))
}

/// The line behind its first word.
fn line(words: &[u8]) -> Result<Named, Malformed> {
    if words == b"UNKNOWN" || words.starts_with(b"UNKNOWN ") {
        // Whatever follows is to be passed over.
        return Ok(Named::Nobody);
    }
    let words = str::from_utf8(words).map_err(|_| Malformed("the PROXY line is no text"))?;
    let mut words = words.split(' ');
    let family = words.next().unwrap_or_default();
    let mut next = || words.next().unwrap_or_default();
    let (source, target) = (next(), next());
    let (from, to) = (port(next()), port(next()));
    let addresses = match family {
        "TCP4" => both::<Ipv4Addr>(source, target),
        "TCP6" => both::<Ipv6Addr>(source, target),
        _ => return Err(Malformed("the PROXY line names no family that is known")),
    };
    match (addresses, from, to, words.next()) {
        (Some(ip), Some(port), Some(_), None) => Ok(Named::Client(SocketAddr::new(ip, port))),
        _ => Err(Malformed(
            "the PROXY line does not name two addresses and two ports",
        )),
    }
}

/// The source, if both are addresses of the family.
fn both<T: std::str::FromStr + Into<IpAddr>>(source: &str, target: &str) -> Option<IpAddr> {
    let source: T = source.parse().ok()?;
    target.parse::<T>().ok()?;
    Some(source.into())
}

/// Without a sign, and without zeros before it.
fn port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let shortest = digits == "0" || !digits.starts_with('0');
    (plain && shortest).then(|| digits.parse().ok())?
}

/// What a header of version 2 says of its addresses.
#[derive(Clone, Copy)]
enum Kind {
    V4,
    V6,
    /// Nothing that is used, in at least so many bytes.
    Other(usize),
}

/// Bytes (section 2.2).
fn v2(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    if !begins(bytes, SIGNATURE) {
        return Err(Malformed("it begins with no PROXY protocol header"));
    }
    let rest = bytes.get(SIGNATURE.len()..);
    let Some(&[command, family, high, low]) = rest.and_then(<[u8]>::first_chunk) else {
        return Ok(None);
    };
    let kind = kind(command, family)?;
    let len = FIXED + usize::from(u16::from_be_bytes([high, low]));
    let least = FIXED
        + match kind {
            Kind::V4 => 12,
            Kind::V6 => 36,
            Kind::Other(least) => least,
        };
    if len < least {
        return Err(Malformed("the PROXY header is too short for its addresses"));
    }
    if len > MAX_V2 {
        return Err(Malformed("the PROXY header is longer than 2 KiB"));
    }
    // Behind the addresses there may be TLVs, none of which is used.
    Ok(bytes.get(FIXED..len).map(|rest| Header {
        named: named(kind, rest),
        len,
    }))
}

fn kind(command: u8, family: u8) -> Result<Kind, Malformed> {
    match (command, family) {
        // LOCAL: the proxy itself. What it says of addresses is to be passed over.
        (0x20, _) => Ok(Kind::Other(0)),
        (0x21, 0x00) => Ok(Kind::Other(0)),
        (0x21, 0x11) => Ok(Kind::V4),
        (0x21, 0x21) => Ok(Kind::V6),
        (0x21, 0x31) => Ok(Kind::Other(216)),
        (0x21, 0x12 | 0x22 | 0x32) => Err(Malformed("the PROXY header is of a datagram")),
        (0x21, _) => Err(Malformed("the PROXY header names no family that is known")),
        _ => Err(Malformed("the PROXY header is of no version that is known")),
    }
}

/// Both addresses come before both ports. `rest` has been found long enough.
fn named(kind: Kind, rest: &[u8]) -> Named {
    let port = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    let (ip, port): (IpAddr, u16) = match kind {
        Kind::Other(_) => return Named::Nobody,
        Kind::V4 => (bytes_at::<4>(rest).into(), port(8)),
        Kind::V6 => (bytes_at::<16>(rest).into(), port(32)),
    };
    Named::Client(SocketAddr::new(ip, port))
}

fn bytes_at<const N: usize>(rest: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| rest[at])
}
