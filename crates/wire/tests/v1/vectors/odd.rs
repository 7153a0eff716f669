//! Vectors of frames that we never send: other encodings that are accepted, and bytes that must be
//! refused.

use bytes::Bytes;

use super::unhex;

/// Bytes that are accepted, though a sender writes them in another way or not at all.
pub(super) fn decoded_only() -> Vec<(&'static str, Bytes)> {
    vec![
        (
            "ACK, an integer of two bytes where one would do",
            unhex("41024025"),
        ),
        ("ACK, an integer of four bytes", unhex("410480000025")),
        (
            "ACK, an integer of eight bytes",
            unhex("4108c000000000000025"),
        ),
        ("ACK, a length of two bytes", unhex("41400125")),
        (
            "DATA, length and stream of eight bytes",
            unhex("03c00000000000000ac0000000000000010178"),
        ),
        ("DATA, flags that have no meaning yet", unhex("030301fc78")),
        (
            "OPEN, bits of `how` that have no meaning yet",
            unhex("01140101000347455405687474703a00fc0000000000"),
        ),
        (
            "HELLO with a key that is not known",
            unhex("40084064026869010105"),
        ),
        (
            "HELLO with its keys in another order",
            unhex("400703024040010105"),
        ),
        (
            "TRAILERS that do not say that they end",
            unhex("0403010000"),
        ),
        ("an unknown type that is counted", unhex("3f03010203")),
        ("an unknown type that is not counted", unhex("7f00")),
        ("type 0 is unknown, and counted", unhex("0000")),
        ("the last type, not counted", unhex("ff0100")),
    ]
}

/// Bytes that are not a frame, and frames with an invalid block.
pub(super) fn malformed() -> Vec<(&'static str, Bytes)> {
    [
        ("a type without a length", "03"),
        ("a length that is cut", "0340"),
        ("a payload that is cut", "0305010078"),
        ("a frame of more than 16 KiB", "0380003ffe0100"),
        ("an unknown type of more than 16 KiB", "3f80003ffe"),
        ("DATA of stream 0", "0303000078"),
        ("DATA without flags", "030101"),
        ("STOP of stream 0", "070100"),
        ("STOP with a byte behind", "07020100"),
        ("ACK without a count", "4100"),
        ("ACK with a byte behind", "41020100"),
        ("LIMIT without bytes", "420100"),
        ("PING with nine bytes", "4309000102030405060708"),
        ("PONG with nine bytes", "4409000102030405060708"),
        ("RESET whose name is cut", "060401000561"),
        ("RESET whose name is not UTF-8", "0605010001ff00"),
        ("RESET with a byte behind", "06050100000000"),
        ("GOAWAY whose detail is not UTF-8", "45030101ff"),
        ("HELLO whose value is cut", "4003010241"),
        (
            "HELLO with a token of 15 bytes",
            "4011050f000102030405060708090a0b0c0d0e",
        ),
        ("HELLO with a byte behind a number", "400401020100"),
        ("HELLO whose refusal is not UTF-8", "40030701ff"),
        ("OPEN without a block", "01020101"),
        (
            "OPEN with a redirect mode that is not known",
            "010f010100034745540000030000000000",
        ),
        ("OPEN whose method is empty", "010c010100000000000000000000"),
        (
            "OPEN whose method has a space",
            "010f010100034720540000000000000000",
        ),
        (
            "OPEN whose URL is not UTF-8",
            "01100101000347455401ff00000000000000",
        ),
        (
            "OPEN with a byte behind its fields",
            "011001010003474554000000000000000000",
        ),
        (
            "OPEN with 1,001 fields",
            "0110010100034745540000000000000043e9",
        ),
        (
            "OPEN with a field too few",
            "0112010100034745540000000000000002016100",
        ),
        (
            "OPEN whose field has a name with a space",
            "01140101000347455400000000000000010361206200",
        ),
        (
            "OPEN whose field has no name",
            "01110101000347455400000000000000010000",
        ),
        (
            "OPEN whose value has a line feed",
            "01130101000347455400000000000000010161010a",
        ),
        (
            "OPEN whose value has a zero byte",
            "011301010003474554000000000000000101610100",
        ),
        ("HEAD whose status is 99", "020701000040630000"),
        ("HEAD whose status is 1000", "020701000043e80000"),
        ("TRAILERS without a count", "04020101"),
    ]
    .into_iter()
    .map(|(name, hex)| (name, unhex(hex)))
    .collect()
}
