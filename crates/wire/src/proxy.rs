//! The header of the PROXY protocol, versions 1 and 2 (HAProxy's specification). A proxy sends the
//! header as the first bytes of a connection, to name the client for whom it connects.
//!
//! Parsing is strict: a header that a conforming proxy never sends is an error, and so is a connection
//! that begins with anything else.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Length of the longest version 1 header in bytes, CR LF included (section 2.1).
pub const MAX_V1: usize = 107;

/// Length of the longest version 2 header that is accepted, in bytes. Addresses need 52; the remainder
/// is for TLVs, of which certificate names are the longest. The specification's own limit is 65,551.
pub const MAX_V2: usize = 2_048;

/// First bytes of a version 2 header (section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Length of the fixed part of a version 2 header: signature, command, family and length field.
const FIXED: usize = 16;
const LINE: &[u8] = b"PROXY ";

/// A complete header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The client that the header names.
    pub source: Source,
    /// Length of the header in bytes. The connection's own data begins after it.
    pub len: usize,
}

/// The peer that opened the connection to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A client at this address.
    Client(SocketAddr),
    /// A peer without an IP address, or the proxy itself, as in a health check.
    Nobody,
}

/// The bytes are not a valid header. The connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidHeader(pub &'static str);

/// Parses a header at the front of `bytes`. Returns `None` while more bytes are needed. A result does
/// not change when further bytes follow.
///
/// # Errors
/// Describes the fault, as soon as it is certain.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, InvalidHeader> {
    match bytes.first() {
        None => Ok(None),
        Some(&first) if first == SIGNATURE[0] => v2(bytes),
        Some(_) => v1(bytes),
    }
}

fn begins(bytes: &[u8], with: &[u8]) -> bool {
    bytes.iter().zip(with).all(|(byte, wanted)| byte == wanted)
}

/// Parses a version 1 header, a line of text (section 2.1).
fn v1(bytes: &[u8]) -> Result<Option<Header>, InvalidHeader> {
    if !begins(bytes, LINE) {
        return Err(InvalidHeader(
            "the connection does not begin with a PROXY protocol header",
        ));
    }
    let seen = &bytes[..bytes.len().min(MAX_V1)];
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return match bytes.len() < MAX_V1 {
            true => Ok(None),
            false => Err(InvalidHeader("the PROXY line is longer than 107 bytes")),
        };
    };
    Ok(Some(Header {
        source: line(seen.get(LINE.len()..end).unwrap_or_default())?,
        len: end + 2,
    }))
}

/// Parses a version 1 line after the word `PROXY`.
fn line(words: &[u8]) -> Result<Source, InvalidHeader> {
    if words == b"UNKNOWN" || words.starts_with(b"UNKNOWN ") {
        // The specification says to ignore the remainder of the line.
        return Ok(Source::Nobody);
    }
    let words = str::from_utf8(words).map_err(|_| InvalidHeader("the PROXY line is not text"))?;
    let mut words = words.split(' ');
    let family = words.next().unwrap_or_default();
    let mut next = || words.next().unwrap_or_default();
    let (source, target) = (next(), next());
    let (from, to) = (port(next()), port(next()));
    let addresses = match family {
        "TCP4" => both::<Ipv4Addr>(source, target),
        "TCP6" => both::<Ipv6Addr>(source, target),
        _ => {
            return Err(InvalidHeader(
                "the PROXY line names an unknown address family",
            ));
        }
    };
    match (addresses, from, to, words.next()) {
        (Some(ip), Some(port), Some(_), None) => Ok(Source::Client(SocketAddr::new(ip, port))),
        _ => Err(InvalidHeader(
            "the PROXY line does not name two addresses and two ports",
        )),
    }
}

/// Returns the source address if both addresses belong to the family.
fn both<T: std::str::FromStr + Into<IpAddr>>(source: &str, target: &str) -> Option<IpAddr> {
    let source: T = source.parse().ok()?;
    target.parse::<T>().ok()?;
    Some(source.into())
}

/// Parses a port. A sign or leading zeros are not accepted.
fn port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let shortest = digits == "0" || !digits.starts_with('0');
    (plain && shortest).then(|| digits.parse().ok())?
}

/// The kind of addresses in a version 2 header.
#[derive(Clone, Copy)]
enum Kind {
    V4,
    V6,
    /// Addresses that are not used; the header must have at least this many bytes for them.
    Other(usize),
}

/// Parses a version 2 header, which is binary (section 2.2).
fn v2(bytes: &[u8]) -> Result<Option<Header>, InvalidHeader> {
    if !begins(bytes, SIGNATURE) {
        return Err(InvalidHeader(
            "the connection does not begin with a PROXY protocol header",
        ));
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
        return Err(InvalidHeader(
            "the PROXY header is too short for its addresses",
        ));
    }
    if len > MAX_V2 {
        return Err(InvalidHeader("the PROXY header is longer than 2 KiB"));
    }
    // TLVs may follow the addresses; none is used.
    Ok(bytes.get(FIXED..len).map(|rest| Header {
        source: source(kind, rest),
        len,
    }))
}

fn kind(command: u8, family: u8) -> Result<Kind, InvalidHeader> {
    match (command, family) {
        // LOCAL: a connection of the proxy itself. The specification says to ignore its addresses.
        (0x20, _) => Ok(Kind::Other(0)),
        (0x21, 0x00) => Ok(Kind::Other(0)),
        (0x21, 0x11) => Ok(Kind::V4),
        (0x21, 0x21) => Ok(Kind::V6),
        (0x21, 0x31) => Ok(Kind::Other(216)),
        (0x21, 0x12 | 0x22 | 0x32) => Err(InvalidHeader("the PROXY header is for datagrams")),
        (0x21, _) => Err(InvalidHeader(
            "the PROXY header names an unknown address family",
        )),
        _ => Err(InvalidHeader(
            "the PROXY header has an unknown version or command",
        )),
    }
}

/// Reads the source from `rest`, where both addresses precede both ports. The caller has checked that
/// `rest` is long enough.
fn source(kind: Kind, rest: &[u8]) -> Source {
    let port = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    let (ip, port): (IpAddr, u16) = match kind {
        Kind::Other(_) => return Source::Nobody,
        Kind::V4 => (bytes_at::<4>(rest).into(), port(8)),
        Kind::V6 => (bytes_at::<16>(rest).into(), port(32)),
    };
    Source::Client(SocketAddr::new(ip, port))
}

fn bytes_at<const N: usize>(rest: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| rest[at])
}
