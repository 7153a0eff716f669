//! The header of the PROXY protocol: what is taken, what is refused, and that slices change nothing.

use proptest::prelude::*;

use super::*;

/// A header of version 2 that says `rest`.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&[command, family]);
    header.extend_from_slice(&u16::try_from(rest.len()).expect("short").to_be_bytes());
    header.extend_from_slice(rest);
    header
}

/// Both addresses and both ports, as they stand in version 2.
fn addresses(source: SocketAddr, target: SocketAddr) -> Vec<u8> {
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let ports = [source.port().to_be_bytes(), target.port().to_be_bytes()];
    [octets(source), octets(target), ports.concat()].concat()
}

fn client(text: &str) -> Source {
    Source::Client(text.parse().expect("an address"))
}

/// Reads it alone and with more behind it.
fn source_of(bytes: &[u8]) -> Result<Source, InvalidHeader> {
    let more = [bytes, b"GET / HTTP/1.1\r\n\r\n"].concat();
    let (alone, before) = (parse(bytes), parse(&more));
    assert_eq!(alone, before);
    let header = alone?.expect("a whole header");
    assert_eq!(header.len, bytes.len());
    Ok(header.source)
}

#[test]
fn lines_name_clients() {
    for (line, expected) in [
        (
            "TCP4 192.0.2.7 198.51.100.1 56324 443",
            client("192.0.2.7:56324"),
        ),
        (
            "TCP4 255.255.255.255 0.0.0.0 65535 0",
            client("255.255.255.255:65535"),
        ),
        ("TCP6 2001:db8::7 ::1 1 65535", client("[2001:db8::7]:1")),
        (
            "TCP6 ::ffff:192.0.2.7 ::1 1 2",
            client("[::ffff:192.0.2.7]:1"),
        ),
        ("UNKNOWN", Source::Nobody),
        ("UNKNOWN ffff:f...f:ffff whatever \r else", Source::Nobody),
    ] {
        let line = format!("PROXY {line}\r\n");
        assert_eq!(source_of(line.as_bytes()), Ok(expected), "{line}");
    }
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_V1 - 16));
    assert_eq!(longest.len(), MAX_V1);
    assert_eq!(source_of(longest.as_bytes()), Ok(Source::Nobody));
}

#[test]
fn lines_that_no_proxy_sends_are_refused() {
    for line in [
        "",
        "TCP4",
        "TCP5 1.2.3.4 1.2.3.4 1 2",
        "UNKNOWNS",
        "tcp4 1.2.3.4 1.2.3.4 1 2",
        "TCP4 1.2.3.4 1.2.3.4 1",
        "TCP4 1.2.3.4 1.2.3.4 1 2 3",
        "TCP4 1.2.3.4 1.2.3.4 1 2 ",
        "TCP4  1.2.3.4 1.2.3.4 1 2",
        "TCP4 1.2.3.4 1.2.3.4 01 2",
        "TCP4 1.2.3.4 1.2.3.4 +1 2",
        "TCP4 1.2.3.4 1.2.3.4 1 65536",
        "TCP4 1.2.3.04 1.2.3.4 1 2",
        "TCP4 1.2.3.256 1.2.3.4 1 2",
        "TCP4 ::1 ::1 1 2",
        "TCP4 1.2.3.4 ::1 1 2",
        "TCP6 1.2.3.4 1.2.3.4 1 2",
        "TCP6 fe80::1%eth0 ::1 1 2",
        "TCP6 [::1] ::1 1 2",
        "TCP4 1.2.3.4 1.2.3.4 1 \u{662}",
    ] {
        let line = format!("PROXY {line}\r\n");
        assert!(parse(line.as_bytes()).is_err(), "{line}");
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_V1 - 15));
    assert!(parse(long.as_bytes()).is_err(), "a byte too long");
    // With the first byte that shows it: nothing is waited for.
    for other in [
        "GET / HTTP/1.1",
        "PRI",
        "\x16\x03\x01",
        "\r\n\r\n\0\r\nQUIX",
    ] {
        assert!(parse(other.as_bytes()).is_err(), "{other:?}");
    }
}

#[test]
fn bytes_name_clients() {
    let v4 = |a: &str, b: &str| addresses(a.parse().expect("one"), b.parse().expect("one"));
    let four = v4("192.0.2.7:56324", "198.51.100.1:443");
    let six = v4("[2001:db8::7]:9", "[::1]:443");
    let tlvs = [
        four.clone(),
        b"\x03\0\x04abcd\x20\x01\0".to_vec(),
        vec![7; 256],
    ]
    .concat();
    for (bytes, expected) in [
        (binary(0x21, 0x11, &four), client("192.0.2.7:56324")),
        (binary(0x21, 0x11, &tlvs), client("192.0.2.7:56324")),
        (binary(0x21, 0x21, &six), client("[2001:db8::7]:9")),
        (binary(0x21, 0x31, &[b'/'; 216]), Source::Nobody),
        (binary(0x21, 0x00, b""), Source::Nobody),
        (binary(0x20, 0x00, b""), Source::Nobody),
        // LOCAL: the addresses are the proxy's own affair, whatever they are.
        (binary(0x20, 0x11, &four), Source::Nobody),
        (binary(0x20, 0xff, b"what"), Source::Nobody),
        (
            binary(0x21, 0x11, &[1; MAX_V2 - FIXED]),
            client("1.1.1.1:257"),
        ),
    ] {
        assert_eq!(source_of(&bytes), Ok(expected), "{bytes:?}");
    }
}

#[test]
fn bytes_that_no_proxy_sends_are_refused() {
    for (command, family, len) in [
        (0x11, 0x11, 12),
        (0x31, 0x11, 12),
        (0x22, 0x11, 12),
        (0x2f, 0x11, 12),
        (0x21, 0x10, 12),
        (0x21, 0x01, 12),
        (0x21, 0x41, 36),
        (0x21, 0x12, 12),
        (0x21, 0x22, 36),
        (0x21, 0x32, 216),
        (0x21, 0x11, 11),
        (0x21, 0x21, 35),
        (0x21, 0x31, 215),
        (0x21, 0x11, MAX_V2 - FIXED + 1),
    ] {
        let header = binary(command, family, &vec![0; len]);
        // Known by the first 16 bytes.
        assert!(
            parse(&header[..FIXED]).is_err(),
            "{command:x} {family:x} {len}"
        );
    }
}

/// Headers, nearly headers, and anything.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let ip = |v4: bool| match v4 {
        true => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        false => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
    };
    let pair = any::<bool>().prop_flat_map(move |v4| (Just(v4), ip(v4), ip(v4)));
    let ports = any::<(u16, u16)>();
    let line = (pair.clone(), ports).prop_map(|((v4, a, b), (p, q))| {
        let family = if v4 { "TCP4" } else { "TCP6" };
        format!("PROXY {family} {a} {b} {p} {q}\r\n").into_bytes()
    });
    let tlvs = proptest::collection::vec(any::<u8>(), 0..300);
    let bytes = (pair, ports, tlvs).prop_map(|((v4, a, b), (p, q), tlvs)| {
        let named = addresses(SocketAddr::new(a, p), SocketAddr::new(b, q));
        let family = if v4 { 0x11 } else { 0x21 };
        binary(0x21, family, &[named, tlvs].concat())
    });
    let near = (
        prop_oneof![line.clone(), bytes.clone()],
        any::<prop::sample::Index>(),
        any::<u8>(),
    );
    let near = near.prop_map(|(mut header, at, byte)| {
        let at = at.index(header.len());
        header[at] = byte;
        header
    });
    prop_oneof![
        line,
        bytes,
        near,
        proptest::collection::vec(any::<u8>(), 0..300)
    ]
}

proptest! {
    /// In whatever pieces it comes: more is asked for until it is whole, and then and with anything
    /// behind it, the same is said of it.
    #[test]
    fn what_is_said_once_stays_so(input in input(), more: Vec<u8>) {
        let input = [input, more].concat();
        let mut said = None;
        for end in 0..=input.len() {
            let now = parse(&input[..end]);
            if let Ok(Some(header)) = now {
                prop_assert!(header.len <= end && header.len <= MAX_V2);
                prop_assert!(said.is_some() || header.len == end, "it was whole before");
            }
            match &said {
                None if now != Ok(None) => said = Some(now),
                None => prop_assert!(end < MAX_V2, "more is asked for without end"),
                Some(said) => prop_assert_eq!(said, &now),
            }
        }
    }

    #[test]
    fn a_client_reads_back(source: SocketAddr, port: u16) {
        // A scope is of the proxy's machine only, and is not sent.
        let source = SocketAddr::new(source.ip(), source.port());
        let target = SocketAddr::new(source.ip(), port);
        let (word, family) = if source.is_ipv4() { ("TCP4", 0x11) } else { ("TCP6", 0x21) };
        let ip = source.ip();
        let line = format!("PROXY {word} {ip} {ip} {} {port}\r\n", source.port());
        prop_assert_eq!(source_of(line.as_bytes()), Ok(Source::Client(source)));
        let bytes = binary(0x21, family, &addresses(source, target));
        prop_assert_eq!(source_of(&bytes), Ok(Source::Client(source)));
    }
}
