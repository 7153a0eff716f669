//! Address ranges that are refused unless they are allowed, and the name of each.
//!
//! The table has the ranges of IANA's special-purpose registries (RFC 6890 and its updates) that are not
//! globally reachable, the metadata addresses of clouds, and all of IPv6 that is not global unicast.

use std::net::IpAddr;

use super::IpNet;

/// Name of an address range for an error, with its article.
pub(super) type RangeKind = &'static str;

pub(super) const METADATA: RangeKind = "a cloud metadata address";
const PRIVATE: RangeKind = "a private address";
const LOOPBACK: RangeKind = "a loopback address";
const LINK_LOCAL: RangeKind = "a link-local address";
const MULTICAST: RangeKind = "a multicast address";
const DOCUMENTATION: RangeKind = "a documentation address";
const RESERVED: RangeKind = "a reserved address";
const PROTOCOL: RangeKind = "an IETF protocol assignment";

/// The first match gives the name, so a range inside another one comes before it.
const RANGES: &[(IpNet, RangeKind)] = &[
    // AWS and most others, Azure (a public address!), Alibaba, Oracle; AWS and Google over IPv6.
    (IpNet::v4([169, 254, 169, 254], 32), METADATA),
    (IpNet::v4([168, 63, 129, 16], 32), METADATA),
    (IpNet::v4([100, 100, 100, 200], 32), METADATA),
    (IpNet::v4([192, 0, 0, 192], 32), METADATA),
    (
        IpNet::v6(&[0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128),
        METADATA,
    ),
    (
        IpNet::v6(&[0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),
        METADATA,
    ),
    // Linux dials this host when asked for 0.0.0.0.
    (IpNet::v4([0, 0, 0, 0], 8), "a \"this network\" address"),
    (IpNet::v4([10, 0, 0, 0], 8), PRIVATE),
    (IpNet::v4([100, 64, 0, 0], 10), "a shared (CGNAT) address"),
    (IpNet::v4([127, 0, 0, 0], 8), LOOPBACK),
    (IpNet::v4([169, 254, 0, 0], 16), LINK_LOCAL),
    (IpNet::v4([172, 16, 0, 0], 12), PRIVATE),
    // Two anycast addresses in it are reachable, but what answers there is the next NAT box.
    (IpNet::v4([192, 0, 0, 0], 24), PROTOCOL),
    (IpNet::v4([192, 0, 2, 0], 24), DOCUMENTATION),
    (IpNet::v4([192, 88, 99, 0], 24), "a 6to4 relay address"),
    (IpNet::v4([192, 168, 0, 0], 16), PRIVATE),
    (IpNet::v4([198, 18, 0, 0], 15), "a benchmarking address"),
    (IpNet::v4([198, 51, 100, 0], 24), DOCUMENTATION),
    (IpNet::v4([203, 0, 113, 0], 24), DOCUMENTATION),
    (IpNet::v4([224, 0, 0, 0], 4), MULTICAST),
    (IpNet::v4([255, 255, 255, 255], 32), "the broadcast address"),
    (IpNet::v4([240, 0, 0, 0], 4), RESERVED),
    (IpNet::v6(&[], 128), "the unspecified address"),
    (IpNet::v6(&[0, 0, 0, 0, 0, 0, 0, 1], 128), LOOPBACK),
    // In this range the IPv4 address may be at several places (RFC 6052), so it is not looked for.
    (IpNet::v6(&[0x64, 0xff9b, 1], 48), "a local NAT64 address"),
    (IpNet::v6(&[0x100], 64), "a discard-only address"),
    (IpNet::v6(&[0x100, 0, 0, 1], 64), "a dummy address"),
    // Teredo is inside this range, and `embedded` handles it first. The reachable parts are anycast
    // services, AMT and AS112, or are no locators. None of them serves HTTP.
    (IpNet::v6(&[0x2001], 23), PROTOCOL),
    (IpNet::v6(&[0x2001, 0xdb8], 32), DOCUMENTATION),
    (IpNet::v6(&[0x3fff], 20), DOCUMENTATION),
    (IpNet::v6(&[0x5f00], 16), "an SRv6 segment address"),
    (IpNet::v6(&[0xfc00], 7), "a unique local address"),
    (IpNet::v6(&[0xfe80], 10), LINK_LOCAL),
    (IpNet::v6(&[0xfec0], 10), "a site-local address"),
    (IpNet::v6(&[0xff00], 8), MULTICAST),
];

/// The only part of IPv6 that IANA assigns as global unicast.
const GLOBAL_UNICAST: IpNet = IpNet::v6(&[0x2000], 3);

/// Returns the name of `ip`'s range if the address is refused by default. An address inside another must
/// have been extracted before.
pub(super) fn prohibited(ip: IpAddr) -> Option<RangeKind> {
    let listed = RANGES.iter().find(|(net, _)| net.contains(ip));
    match listed {
        Some(&(_, kind)) => Some(kind),
        None if ip.is_ipv6() && !GLOBAL_UNICAST.contains(ip) => Some(RESERVED),
        None => None,
    }
}
