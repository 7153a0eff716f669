//! IPv4 addresses that are part of IPv6 addresses.
//!
//! A packet to such an address ends, by translation or a tunnel, at the IPv4 address inside. That address
//! is therefore checked: otherwise `64:ff9b::10.0.0.1` would get past a rule for 10.0.0.0/8.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses at which a dial of one address may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Destinations {
    /// The address itself, unless it only wraps another one.
    own: Option<IpAddr>,
    /// The IPv4 addresses inside: at most Teredo's server and client, and an ISATAP interface id.
    inside: [Option<Ipv4Addr>; 3],
}

impl Destinations {
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::only(ip),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let inside = self.inside.into_iter().flatten().map(IpAddr::V4);
        self.own.into_iter().chain(inside)
    }

    fn only(ip: IpAddr) -> Self {
        Self {
            own: Some(ip),
            inside: [None; 3],
        }
    }

    fn wrapped(inside: [Option<Ipv4Addr>; 3]) -> Self {
        Self { own: None, inside }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        let low = |high, low| Some(v4(high, low));
        match ip.segments() {
            // `::` and `::1` only look IPv4-compatible.
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Self::only(ip.into()),
            // IPv4-compatible (RFC 4291 2.5.5.1), IPv4-mapped (2.5.5.2), IPv4-translated (RFC 2765
            // 2.1), NAT64's well-known prefix (RFC 6052 2.1).
            [0, 0, 0, 0, 0, 0 | 0xffff, a, b]
            | [0, 0, 0, 0, 0xffff, 0, a, b]
            | [0x64, 0xff9b, 0, 0, 0, 0, a, b] => Self::wrapped([low(a, b), None, None]),
            // Teredo (RFC 4380 4): the server, and the client with its bits inverted.
            [0x2001, 0, a, b, .., c, d] => Self::wrapped([low(a, b), low(!c, !d), isatap(ip)]),
            // 6to4 (RFC 3056 2).
            [0x2002, a, b, ..] => Self::wrapped([low(a, b), isatap(ip), None]),
            _ => Self {
                own: Some(ip.into()),
                inside: [isatap(ip), None, None],
            },
        }
    }
}

/// ISATAP (RFC 5214 6.1): an interface id of `[02]00:5efe` and an IPv4 address, under any prefix.
fn isatap(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [_, _, _, _, 0 | 0x0200, 0x5efe, a, b] => Some(v4(a, b)),
        _ => None,
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}
