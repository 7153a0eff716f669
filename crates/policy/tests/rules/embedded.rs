//! IPv4 addresses inside IPv6 addresses are judged as what they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fetchway_policy::guard::{AddressPolicy, IpNet};
use proptest::prelude::*;

use crate::addresses::{RANGES, assert_prohibited, bits, ip, listed};

/// A public prefix for ISATAP.
const PUBLIC: u128 = 0x2a00_1450_4001_080e << 64;

/// Every form that carries `v4`; `noise` and the public address `other` fill what a form leaves open.
fn forms(v4: Ipv4Addr, other: Ipv4Addr, noise: u64) -> Vec<(&'static str, IpAddr)> {
    let (v, other) = (u128::from(v4.to_bits()), u128::from(other.to_bits()));
    let inverted = |v: u128| v ^ 0xffff_ffff;
    let noise = u128::from(noise);
    [
        ("mapped", 0xffff << 32 | v),
        ("translated", 0xffff << 48 | v),
        ("NAT64", 0x0064_ff9b << 96 | v),
        ("6to4", 0x2002 << 112 | v << 80 | noise),
        ("Teredo server", 0x2001 << 112 | v << 64 | inverted(other)),
        ("Teredo client", 0x2001 << 112 | other << 64 | inverted(v)),
        ("ISATAP", PUBLIC | 0x5efe << 32 | v),
        ("ISATAP, global", PUBLIC | 0x0200_5efe << 32 | v),
        (
            "ISATAP in 6to4",
            0x2002 << 112 | other << 80 | 0x5efe << 32 | v,
        ),
    ]
    .map(|(name, bits)| (name, IpAddr::V6(Ipv6Addr::from_bits(bits))))
    .into()
}

fn prohibited_v4() -> impl Strategy<Value = Ipv4Addr> {
    let ranges: Vec<_> = RANGES
        .iter()
        .filter(|(first, ..)| ip(first).is_ipv4())
        .map(|(first, last, _)| (bits(ip(first)) as u32, bits(ip(last)) as u32))
        .collect();
    proptest::sample::select(ranges)
        .prop_flat_map(|(first, last)| first..=last)
        .prop_map(Ipv4Addr::from_bits)
}

fn public_v4() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>()
        .prop_map(Ipv4Addr::from_bits)
        .prop_filter("public", |v4| listed(IpAddr::V4(*v4)).is_none())
}

proptest! {
    #[test]
    fn no_form_hides_a_prohibited_address(
        v4 in prohibited_v4(), other in public_v4(), noise: u64,
    ) {
        assert_prohibited(IpAddr::V4(v4));
        for (_, form) in forms(v4, other, noise) {
            assert_prohibited(form);
        }
        // `::` and `::1` are no IPv4-compatible addresses, but refused just so.
        assert_prohibited(IpAddr::V6(Ipv6Addr::from_bits(v4.to_bits().into())));
    }

    #[test]
    fn forms_of_a_public_address_are_allowed(
        v4 in public_v4(), other in public_v4(), noise: u64,
    ) {
        let policy = AddressPolicy::default();
        prop_assert!(policy.check_address(IpAddr::V4(v4)).is_ok());
        for (name, form) in forms(v4, other, noise >> 32) {
            prop_assert!(policy.check_address(form).is_ok(), "{name} {form}");
        }
    }

    #[test]
    fn allowing_and_denying_an_address_holds_for_its_forms(
        v4 in prohibited_v4(), other in public_v4(),
    ) {
        let allowing = AddressPolicy { allow_nets: vec![IpNet::from(IpAddr::V4(v4))], ..AddressPolicy::default() };
        let denying = AddressPolicy { deny_nets: allowing.allow_nets.clone(), ..allowing.clone() };
        for (name, form) in forms(v4, other, 0) {
            prop_assert!(allowing.check_address(form).is_ok(), "{name} {form}");
            prop_assert!(denying.check_address(form).is_err(), "{name} {form}");
        }
    }
}

#[test]
fn an_allowed_v6_range_does_not_open_the_v4_inside() {
    let policy = AddressPolicy {
        allow_nets: vec!["::/0".parse().expect("valid")],
        ..AddressPolicy::default()
    };
    assert!(policy.check_address(ip("::1")).is_ok());
    assert!(policy.check_address(ip("fd00::1")).is_ok());
    for form in ["::ffff:127.0.0.1", "64:ff9b::10.0.0.1", "2002:7f00:1::1"] {
        assert!(policy.check_address(ip(form)).is_err(), "{form}");
    }
}

#[test]
fn a_denied_wrapping_is_denied_whatever_is_inside() {
    let policy = AddressPolicy {
        deny_nets: vec!["64:ff9b::/96".parse().expect("valid")],
        ..AddressPolicy::default()
    };
    let error = policy
        .check_address(ip("64:ff9b::8.8.8.8"))
        .expect_err("denied");
    assert!(error.detail.contains("64:ff9b::/96"), "{error}");
    assert!(!error.detail.contains("--allow-net"), "{error}");
}
