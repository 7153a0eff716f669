//! The test vectors of RFC 7541 appendix C, and round trips of our encoder.

use proptest::prelude::*;

use super::{Decoder, Encoder, Undecodable};

type Fields = Vec<(String, String)>;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty(), "half a byte");
    pairs
        .iter()
        .map(|[high, low]| (high << 4 | low) as u8)
        .collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Undecodable> {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect();
    decoder.decode(block, |field| {
        assert_eq!(field.size, field.name.len() + field.value.len() + 32);
        fields.push((text(field.name), text(field.value)));
    })?;
    Ok(fields)
}

/// Decodes consecutive blocks, and compares each with the expected fields.
fn sequence(blocks: &[(&str, &[(&str, &str)])]) {
    let mut decoder = Decoder::new(&[]);
    for (hex, fields) in blocks {
        let expected: Fields = fields
            .iter()
            .map(|(n, v)| (n.to_string(), v.to_string()))
            .collect();
        assert_eq!(decode(&mut decoder, &bytes(hex)), Ok(expected), "{hex}");
    }
}

#[test]
fn literals_and_indexes() {
    // C.2.
    sequence(&[
        (
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            &[("custom-key", "custom-header")],
        ),
        (
            "040c 2f73 616d 706c 652f 7061 7468",
            &[(":path", "/sample/path")],
        ),
        (
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            &[("password", "secret")],
        ),
        ("82", &[(":method", "GET")]),
        // Only the first field has entered the table.
        ("be", &[("custom-key", "custom-header")]),
    ]);
}

const FIRST: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
];
const SECOND: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const THIRD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];

#[test]
fn requests_as_they_are() {
    // C.3.
    sequence(&[
        ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", FIRST),
        ("8286 84be 5808 6e6f 2d63 6163 6865", SECOND),
        (
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
            THIRD,
        ),
    ]);
}

#[test]
fn requests_in_huffman_codes() {
    // C.4.
    sequence(&[
        ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", FIRST),
        ("8286 84be 5886 a8eb 1064 9cbf", SECOND),
        (
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
            THIRD,
        ),
    ]);
}

const COOKIE: &str = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const REDIRECT: &[(&str, &str)] = &[
    (":status", "302"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
];
const REDIRECT_AGAIN: &[(&str, &str)] = &[
    (":status", "307"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
];
const LARGE: &[(&str, &str)] = &[
    (":status", "200"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
    ("location", "https://www.example.com"),
    ("content-encoding", "gzip"),
    ("set-cookie", COOKIE),
];

#[test]
fn responses_that_outgrow_a_table() {
    // C.5, with a table of 256 bytes: the update before the first block says so.
    sequence(&[
        (
            "3fe1 01
             4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
             2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
             6c65 2e63 6f6d",
            REDIRECT,
        ),
        ("4803 3330 37c1 c0bf", REDIRECT_AGAIN),
        (
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
             54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
             5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
             3d31",
            LARGE,
        ),
    ]);
}

#[test]
fn responses_that_outgrow_a_table_in_huffman_codes() {
    // C.6.
    sequence(&[
        (
            "3fe1 01
             4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
             2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            REDIRECT,
        ),
        ("4883 640e ffc1 c0bf", REDIRECT_AGAIN),
        (
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
             77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
             9587 3160 65c0 03ed 4ee5 b106 3d50 07",
            LARGE,
        ),
    ]);
}

#[test]
fn what_cannot_be_decoded_is_refused() {
    for hex in [
        // Index 0, an index after the tables, and such an index as a name.
        "80",
        "be",
        "7e 0161",
        "0f2f 0161",
        // An incomplete string, and a field without its value.
        "0003 6161",
        "0001 61",
        // A table that is larger than ours, and a size update within a block.
        "3fe2 1f",
        "88 20",
        // An entry that was evicted from a table of 42 bytes.
        "3f0b 4003 616263 0131 4003 616264 0131 bf",
        // An integer without end.
        "ffff ffff ffff ffff",
        // Strings that end within a code, with padding of zeros, with too much padding, and with the
        // code for the end.
        "0081 00 00",
        "0082 1fff 00",
        "0085 1fff ffff ff 00",
        "0084 ffff ffff 00",
    ] {
        let mut decoder = Decoder::new(&[]);
        assert!(decode(&mut decoder, &bytes(hex)).is_err(), "{hex}");
    }
}

#[test]
fn a_name_may_make_way_for_its_own_entry() {
    // An entry whose name comes from the entry that it evicts, in a table with room for one (section
    // 4.4).
    let mut decoder = Decoder::new(&[]);
    decode(&mut decoder, &bytes("3f0b 4003 616263 0131")).expect("an entry");
    let fields = decode(&mut decoder, &bytes("7e 0132 be")).expect("another");
    let entry = ("abc".to_owned(), "2".to_owned());
    assert_eq!(fields, [entry.clone(), entry]);
}

#[test]
fn what_repeats_takes_a_byte() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(&[]));
    let mut block = Vec::new();
    let mut lengths = Vec::new();
    for sequence in 0..20 {
        let changing = format!("sequence-{sequence:010}");
        block.clear();
        encoder.begin(&mut block, ("POST", "api.test", "/client"));
        encoder.field(&mut block, "content-type", b"text/plain");
        encoder.field(&mut block, "fetchway-sequence", changing.as_bytes());
        encoder.field(&mut block, "cookie", b"secret");
        lengths.push(block.len());
        let fields = decode(&mut decoder, &block).expect("a block");
        assert_eq!(fields[0], (":method".to_owned(), "POST".to_owned()));
        assert_eq!(fields[5], ("fetchway-sequence".to_owned(), changing));
    }
    // Method, scheme, authority and type take one byte each. The path, the cookie and the changing
    // value are sent as text again.
    let least = 4 + (1 + 1 + 7) + (2 + 1 + 19) + (2 + 1 + 6);
    assert_eq!(lengths[19], least, "{lengths:?}");
    assert!(!block.windows(10).any(|part| part == b"text/plain"));
    assert!(block.windows(6).any(|part| part == b"secret"));
}

proptest! {
    /// Encoded fields decode to the same fields, also after the server has changed the size of its
    /// table.
    #[test]
    fn what_is_encoded_is_decoded(
        requests in prop::collection::vec(
            (
                prop::option::of(0u32..6_000),
                "(GET|POST|DELETE|PUT)",
                "/[a-z]{0,3}",
                prop::collection::vec(("[a-z]{1,2}|cookie|content-type", "[ -~]{0,3}|x{100,200}"), 0..9),
            ),
            1..60,
        ),
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(&[]));
        for (resized, method, path, fields) in requests {
            if let Some(max) = resized {
                encoder.resize(max);
            }
            let mut block = Vec::new();
            encoder.begin(&mut block, (&method, "host", &path));
            let mut expected = vec![
                (":method".to_owned(), method),
                (":scheme".to_owned(), "http".to_owned()),
                (":authority".to_owned(), "host".to_owned()),
                (":path".to_owned(), path),
            ];
            for (name, value) in fields {
                encoder.field(&mut block, &name, value.as_bytes());
                expected.push((name, value));
            }
            prop_assert_eq!(decode(&mut decoder, &block), Ok(expected));
        }
    }
}
