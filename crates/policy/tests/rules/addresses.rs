//! Every special range with its ends and neighbours, and the spellings of a URL's host.

use std::net::IpAddr;

use fetchway_policy::guard::AddressPolicy;
use fetchway_policy::{ErrorName, FetchError};

/// First and last address of each refused range, and what it is called. Written out by hand, so
/// that the tests share nothing with the table they check. The inner range stands first.
pub(crate) const RANGES: &[(&str, &str, &str)] = &[
    ("169.254.169.254", "169.254.169.254", "metadata"),
    ("168.63.129.16", "168.63.129.16", "metadata"),
    ("100.100.100.200", "100.100.100.200", "metadata"),
    ("192.0.0.192", "192.0.0.192", "metadata"),
    ("fd00:ec2::254", "fd00:ec2::254", "metadata"),
    ("fd20:ce::254", "fd20:ce::254", "metadata"),
    ("0.0.0.0", "0.255.255.255", "this network"),
    ("10.0.0.0", "10.255.255.255", "private"),
    ("100.64.0.0", "100.127.255.255", "CGNAT"),
    ("127.0.0.0", "127.255.255.255", "loopback"),
    ("169.254.0.0", "169.254.255.255", "link-local"),
    ("172.16.0.0", "172.31.255.255", "private"),
    ("192.0.0.0", "192.0.0.255", "IETF protocol"),
    ("192.0.2.0", "192.0.2.255", "documentation"),
    ("192.88.99.0", "192.88.99.255", "6to4 relay"),
    ("192.168.0.0", "192.168.255.255", "private"),
    ("198.18.0.0", "198.19.255.255", "benchmarking"),
    ("198.51.100.0", "198.51.100.255", "documentation"),
    ("203.0.113.0", "203.0.113.255", "documentation"),
    ("224.0.0.0", "239.255.255.255", "multicast"),
    ("255.255.255.255", "255.255.255.255", "broadcast"),
    ("240.0.0.0", "255.255.255.254", "reserved"),
    ("::", "::", "unspecified"),
    ("::1", "::1", "loopback"),
    (
        "64:ff9b:1::",
        "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
        "local NAT64",
    ),
    ("100::", "100::ffff:ffff:ffff:ffff", "discard-only"),
    ("100:0:0:1::", "100::1:ffff:ffff:ffff:ffff", "dummy"),
    // Teredo: the first has the server 0.0.0.0, the last 255.255.255.255.
    ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "leads to"),
    (
        "2001:1::",
        "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
        "IETF protocol",
    ),
    (
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "documentation",
    ),
    // 6to4 of 0.0.0.0/8, and of multicast and reserved addresses together.
    (
        "2002::",
        "2002:ff:ffff:ffff:ffff:ffff:ffff:ffff",
        "leads to",
    ),
    (
        "2002:e000::",
        "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "leads to",
    ),
    (
        "3fff::",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        "documentation",
    ),
    ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "SRv6"),
    (
        "fc00::",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "unique local",
    ),
    (
        "fe80::",
        "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "link-local",
    ),
    (
        "fec0::",
        "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "site-local",
    ),
    (
        "ff00::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "multicast",
    ),
];

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

pub(crate) fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// What the table above calls `address`, by comparing numbers.
pub(crate) fn listed(address: IpAddr) -> Option<&'static str> {
    let within = |first: &str, last: &str| {
        let (first, last) = (ip(first), ip(last));
        first.is_ipv4() == address.is_ipv4() && (bits(first)..=bits(last)).contains(&bits(address))
    };
    let row = RANGES.iter().find(|(first, last, _)| within(first, last));
    row.map(|&(_, _, kind)| kind)
}

/// The address `step` away, unless there is none.
fn beside(address: IpAddr, step: i128) -> Option<IpAddr> {
    let bits = bits(address).checked_add_signed(step)?;
    match address {
        IpAddr::V4(_) => Some(IpAddr::V4(u32::try_from(bits).ok()?.into())),
        IpAddr::V6(_) => Some(IpAddr::V6(bits.into())),
    }
}

fn check(address: IpAddr) -> Result<(), FetchError> {
    AddressPolicy::default().check_address(address)
}

pub(crate) fn assert_prohibited(address: IpAddr) -> String {
    let error = check(address).expect_err(&format!("{address} must be refused"));
    assert_eq!(error.name, ErrorName::DestinationIpProhibited);
    let detail = error.detail.into_owned();
    assert!(detail.contains(&address.to_string()), "{detail}");
    // That remedy would give a cloud's credentials away.
    let offered = detail.contains("--allow-net");
    assert_eq!(offered, !detail.contains("metadata"), "{detail}");
    detail
}

#[test]
fn both_ends_of_every_range_are_refused_by_its_name() {
    for &(first, last, kind) in RANGES {
        for end in [first, last] {
            let detail = assert_prohibited(ip(end));
            assert!(detail.contains(kind), "{end} is no {kind}: {detail}");
        }
    }
}

#[test]
fn the_neighbours_of_every_range_are_judged_on_their_own() {
    for &(first, last, kind) in RANGES {
        for neighbour in [beside(ip(first), -1), beside(ip(last), 1)] {
            let Some(neighbour) = neighbour else { continue };
            // Outside of 2000::/3 all of IPv6 is refused.
            let global = neighbour.is_ipv4() || bits(neighbour) >> 125 == 1;
            match listed(neighbour) {
                None if global => check(neighbour).expect("outside of every range"),
                Some(other) => {
                    let detail = assert_prohibited(neighbour);
                    assert!(
                        detail.contains(other),
                        "{neighbour} is no {other}: {detail}"
                    );
                }
                None => {
                    let detail = assert_prohibited(neighbour);
                    assert!(!detail.contains(kind), "{neighbour} is no {kind}: {detail}");
                }
            }
        }
    }
}

#[test]
fn public_addresses_are_allowed() {
    for text in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "223.255.255.255",
        "2001:200::1",
        "2606:4700:4700::1111",
        "2a00:1450:4001:80e::200e",
        "3ffe:ffff::1",
    ] {
        check(ip(text)).expect(text);
    }
}

#[test]
fn unallocated_ipv6_is_refused() {
    for text in [
        "1fff:ffff::1",
        "4000::",
        "64:ff9a::1",
        "64:ff9b:2::",
        "1::",
        "fe00::1",
        "e000::",
    ] {
        let detail = assert_prohibited(ip(text));
        assert!(detail.contains("a reserved address"), "{detail}");
    }
}

#[test]
fn every_spelling_of_a_host_ends_up_refused() {
    for (host, address) in [
        ("127.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0X7F.1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("0177.0x0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("%31%32%37.0.0.1", "127.0.0.1"),
        ("１２７．０．０．１", "127.0.0.1"),
        ("①②⑦.0.0.1", "127.0.0.1"),
        ("127。0。0。1", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("0x0", "0.0.0.0"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ("[::ffff:7f00:1]", "::ffff:127.0.0.1"),
        ("[0:0:0:0:0:FFFF:7F00:0001]", "::ffff:127.0.0.1"),
        ("[::127.0.0.1]", "::7f00:1"),
        ("[::1]", "::1"),
        ("[0000:0000:0000:0000:0000:0000:0000:0001]", "::1"),
        ("[::]", "::"),
        ("2852039166", "169.254.169.254"),
        ("0xa9fea9fe", "169.254.169.254"),
        ("0251.0376.0251.0376", "169.254.169.254"),
        ("169.254.43518", "169.254.169.254"),
        ("[64:ff9b::169.254.169.254]", "64:ff9b::a9fe:a9fe"),
        ("0xa83f8110", "168.63.129.16"),
    ] {
        let url = url::Url::parse(&format!("http://{host}/")).expect(host);
        let parsed = match url.host() {
            Some(url::Host::Ipv4(ip)) => IpAddr::V4(ip),
            Some(url::Host::Ipv6(ip)) => IpAddr::V6(ip),
            other => panic!("{host} is no address but {other:?}"),
        };
        assert_eq!(parsed, ip(address), "{host}");
        assert_prohibited(parsed);
    }
}

#[test]
fn what_the_operator_names_may_be_any_address() {
    let all = AddressPolicy::allow_all();
    for &(first, last, _) in RANGES {
        for end in [first, last] {
            assert_eq!(all.check_address(ip(end)), Ok(()), "{end}");
        }
    }
    for address in ["8.8.8.8", "2606:4700::1", "::ffff:10.0.0.1", "4000::1"] {
        assert_eq!(all.check_address(ip(address)), Ok(()), "{address}");
    }
    assert_eq!(all.check_host("anything.internal", 1), Ok(()));
}
