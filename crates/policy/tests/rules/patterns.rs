//! How ranges and hosts are written, and the rules about hosts and ports.

use std::net::IpAddr;

use fetchway_policy::ErrorName;
use fetchway_policy::guard::{AddressPolicy, HostPattern, IpNet};
use proptest::prelude::*;

use crate::addresses::{bits, ip};

fn host(text: &str) -> HostPattern {
    text.parse().expect(text)
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|b| IpAddr::V4(b.into())),
        any::<u128>().prop_map(|b| IpAddr::V6(b.into())),
    ]
}

/// Clears the bits beyond `prefix`, one at a time.
fn cut(address: IpAddr, prefix: u8) -> IpAddr {
    let width = if address.is_ipv4() { 32 } else { 128 };
    let mut bits = bits(address);
    for at in 0..width - u32::from(prefix) {
        bits &= !(1 << at);
    }
    match address {
        IpAddr::V4(_) => IpAddr::V4((bits as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(bits.into()),
    }
}

proptest! {
    #[test]
    fn a_range_contains_what_shares_its_leading_bits(
        base in any_ip(), other in any_ip(), prefix in 0u8..=128, flip in 0u32..128,
    ) {
        let width = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix % (width + 1);
        let net = IpNet::new(cut(base, prefix), prefix).expect("cut to its prefix");
        let flipped = match base {
            IpAddr::V4(b) => IpAddr::V4((b.to_bits() ^ 1 << (flip % 32)).into()),
            IpAddr::V6(b) => IpAddr::V6((b.to_bits() ^ 1 << flip).into()),
        };
        for candidate in [base, other, flipped, net.first(), net.last()] {
            let same_family = candidate.is_ipv4() == base.is_ipv4();
            let naive = same_family && cut(candidate, prefix) == cut(base, prefix);
            prop_assert_eq!(net.contains(candidate), naive, "{} {}", net, candidate);
        }
        prop_assert_eq!(net.to_string().parse::<IpNet>(), Ok(net));
    }

    #[test]
    fn parsing_never_panics(text in "\\PC*") {
        let _ = text.parse::<IpNet>();
        if let Ok(pattern) = text.parse::<HostPattern>() {
            prop_assert_eq!(pattern.to_string().parse::<HostPattern>(), Ok(pattern));
        }
    }

    #[test]
    fn any_text_can_be_matched(text in "\\PC*") {
        let below = host("*.example.com");
        prop_assert!(!host("example.com").matches(&text) || text.len() >= 11);
        prop_assert!(!below.matches(&text));
        let subdomain = format!("{text}.example.com");
        prop_assert_eq!(below.matches(&subdomain), !text.is_empty());
    }
}

#[test]
fn ranges_are_read_and_written() {
    for (text, shown) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("::1", "::1/128"),
        ("fd00::/8", "fd00::/8"),
        ("::/0", "::/0"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:127.0.0.1", "127.0.0.1/32"),
    ] {
        assert_eq!(text.parse::<IpNet>().expect(text).to_string(), shown);
    }
    for text in [
        "",
        "/",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "10.0.0.0/-1",
        "10.0.0.0/33",
        "::/129",
        "10/8",
        "10.0.0.0/8/8",
        "10.0.0.0/256",
        "[::1]",
        "localhost",
        "10.0.0.0/255.0.0.0",
        " 10.0.0.0/8",
    ] {
        assert!(text.parse::<IpNet>().is_err(), "{text}");
    }
    let error = "10.1.2.3/8"
        .parse::<IpNet>()
        .expect_err("host bits")
        .to_string();
    assert!(
        error.contains("10.0.0.0/8") && error.contains("10.1.2.3/32"),
        "{error}"
    );
}

#[test]
fn host_patterns_match_by_whole_labels() {
    for (pattern, matching, other) in [
        (
            "Example.COM.",
            &["example.com", "EXAMPLE.com."][..],
            &["a.example.com", "example.com.evil", "notexample.com", ""][..],
        ),
        (
            "*.example.com",
            &["a.example.com", "a.b.EXAMPLE.com", "a.example.com."],
            &[
                "example.com",
                ".example.com",
                "notexample.com",
                "example.com.evil",
                "é.com",
            ],
        ),
        (
            "bücher.example",
            &["xn--bcher-kva.example"],
            &["bucher.example"],
        ),
        (
            "127.0.0.1",
            &["127.0.0.1", "127.0.0.1.", "[::ffff:127.0.0.1]"],
            &["127.0.0.2"],
        ),
        ("[::1]", &["[::1]", "::1"], &["[::2]", "127.0.0.1"]),
        ("::1", &["[::1]"], &["[::]"]),
        ("0x7f.1", &["127.0.0.1"], &["0x7f.2"]),
    ] {
        for name in matching {
            assert!(host(pattern).matches(name), "{pattern} {name}");
        }
        for name in other {
            assert!(!host(pattern).matches(name), "{pattern} {name}");
        }
    }
}

#[test]
fn malformed_host_patterns_are_refused() {
    for text in [
        "",
        "*",
        "*.",
        ".",
        "..",
        ".example.com",
        "a..b",
        "a.*.com",
        "ex*mple.com",
        "**.com",
        "*.10.0.0.1",
        "*.[::1]",
        "http://example.com",
        "example.com:80",
        "a b",
        "example.com/",
    ] {
        let error = text.parse::<HostPattern>().expect_err(text);
        assert!(error.to_string().contains("*.example.com"), "{error}");
    }
}

#[test]
fn deny_wins_and_an_empty_allow_list_allows_all() {
    let all = AddressPolicy::default();
    assert!(all.check_host("example.com", 25).is_ok());
    let policy = AddressPolicy {
        allow_hosts: vec![host("*.example.com")],
        deny_hosts: vec![host("secret.example.com")],
        allow_ports: vec![80..=80, 443..=443, 8000..=8999],
        deny_ports: vec![8080..=8081],
        ..AddressPolicy::default()
    };
    for (host, port, allowed) in [
        ("a.example.com", 443, true),
        ("a.example.com", 8000, true),
        ("a.example.com", 8999, true),
        ("a.example.com", 8080, false),
        ("a.example.com", 9000, false),
        ("example.com", 443, false),
        ("secret.example.com.", 443, false),
        ("example.org", 443, false),
    ] {
        let checked = policy.check_host(host, port);
        assert_eq!(checked.is_ok(), allowed, "{host}:{port} {checked:?}");
        if let Err(error) = checked {
            assert_eq!(error.name, ErrorName::HttpRequestDenied);
        }
    }
}

#[test]
fn denied_nets_win_over_allowed_ones() {
    let policy = AddressPolicy {
        allow_nets: vec!["127.0.0.0/8".parse().expect("valid")],
        deny_nets: vec![
            "127.0.0.53".parse().expect("valid"),
            "8.8.0.0/16".parse().expect("valid"),
        ],
        ..AddressPolicy::default()
    };
    for (text, allowed) in [
        ("127.0.0.1", true),
        ("::ffff:127.0.0.1", true),
        ("127.0.0.53", false),
        ("::ffff:127.0.0.53", false),
        ("8.8.8.8", false),
        ("64:ff9b::8.8.8.8", false),
        ("8.9.8.8", true),
        ("10.0.0.1", false),
    ] {
        assert_eq!(policy.check_address(ip(text)).is_ok(), allowed, "{text}");
    }
}
