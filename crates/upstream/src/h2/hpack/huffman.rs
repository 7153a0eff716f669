//! Huffman decoding of strings (RFC 7541 appendix B). There is no encoder: our strings are short and
//! are sent as they are.
//!
//! The code is canonical: codes of one length follow one another in the order of their bytes, after all
//! shorter codes. The lengths therefore define the whole code.

use super::Undecodable;

/// Length of each byte's code in bits. The code for the end of a string is the last of those with 30
/// bits.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// Maximum length of codes that are found in one step.
const SHORT: usize = 8;

struct Codes {
    /// For each value of the next eight bits: a byte and the length of its code, or length 0 if the
    /// code is longer.
    short: [(u8, u8); 1 << SHORT],
    /// For each length: the first code, the number of codes, and the position of the first code's byte
    /// in `bytes`.
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    place: [usize; LONGEST + 1],
    /// All bytes, in the order of their codes.
    bytes: [u8; 256],
}

static CODES: Codes = codes();

const fn codes() -> Codes {
    let mut codes = Codes {
        short: [(0, 0); 1 << SHORT],
        first: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
        place: [0; LONGEST + 1],
        bytes: [0; 256],
    };
    let (mut code, mut placed, mut length) = (0u32, 0, SHORTEST);
    while length <= LONGEST {
        code <<= 1;
        codes.first[length] = code;
        codes.place[length] = placed;
        let mut byte = 0;
        while byte < 256 {
            if LENGTHS[byte] as usize == length {
                codes.bytes[placed] = byte as u8;
                placed += 1;
                if length <= SHORT {
                    // Fills all values that begin with the code.
                    let from = (code as usize) << (SHORT - length);
                    let mut at = from;
                    while at < from + (1 << (SHORT - length)) {
                        codes.short[at] = (byte as u8, length as u8);
                        at += 1;
                    }
                }
                code += 1;
            }
            byte += 1;
        }
        codes.count[length] = code - codes.first[length];
        length += 1;
    }
    // Exactly one code is left, that for the end. A wrong length would leave none or several.
    assert!(placed == 256 && code == (1 << LONGEST) - 1);
    codes
}

/// Appends the decoded `input` to `out`.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), Undecodable> {
    out.reserve(input.len() * SHORT / SHORTEST);
    // The available bits, from the highest down, and their number.
    let (mut bits, mut have) = (0u64, 0usize);
    let mut input = input.iter();
    loop {
        while have <= 56
            && let Some(&byte) = input.next()
        {
            bits |= u64::from(byte) << (56 - have);
            have += 8;
        }
        // The bits after the last one, as if the padding continued.
        let padded = bits | u64::MAX.checked_shr(have as u32).unwrap_or(0);
        let (byte, length) = next(padded);
        if length > have {
            // Fewer than eight one bits are padding (section 5.2).
            return match have < 8 && padded == u64::MAX {
                true => Ok(()),
                false => Err(Undecodable("a string ends within a code")),
            };
        }
        out.push(byte);
        bits <<= length;
        have -= length;
    }
}

/// Returns the byte whose code the highest bits are, and the length of the code. For the end of a
/// string, the length is larger than any.
fn next(bits: u64) -> (u8, usize) {
    let (byte, length) = CODES.short[(bits >> (64 - SHORT)) as usize];
    if length > 0 {
        return (byte, usize::from(length));
    }
    for length in SHORT + 1..=LONGEST {
        // The value has at most 30 bits, and is not below the first code of the length, as no shorter
        // code matches.
        let nth = (bits >> (64 - length)) as u32 - CODES.first[length];
        if nth < CODES.count[length] {
            return (CODES.bytes[CODES.place[length] + nth as usize], length);
        }
    }
    (0, usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Encodes by a table built in another way than the decoder's: code after code, in the order of
    /// their lengths.
    fn encode(input: &[u8]) -> Vec<u8> {
        let mut order: Vec<u8> = (0..=u8::MAX).collect();
        order.sort_by_key(|&byte| (LENGTHS[usize::from(byte)], byte));
        let mut codes = [""; 256].map(str::to_owned);
        let (mut code, mut before) = (0u32, 0);
        for byte in order {
            let length = LENGTHS[usize::from(byte)];
            code <<= length - before;
            before = length;
            codes[usize::from(byte)] = format!("{code:0width$b}", width = usize::from(length));
            code += 1;
        }
        let mut bits: String = input
            .iter()
            .map(|&byte| &*codes[usize::from(byte)])
            .collect();
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        let bits: Vec<u8> = bits.bytes().map(|bit| bit - b'0').collect();
        let (bytes, _) = bits.as_chunks::<8>();
        let byte = |bits: &[u8; 8]| bits.iter().fold(0, |byte, bit| byte << 1 | bit);
        bytes.iter().map(byte).collect()
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let mut out = Vec::new();
        assert_eq!(decode(&encode(&all), &mut out), Ok(()));
        assert_eq!(out, all);
    }

    #[test]
    fn the_last_codes_are_the_specifications() {
        // RFC 7541 appendix B: the last codes of 28, 27, 26 and 30 bits.
        for (bits, length, byte) in [
            (0xfff_fffe_u32, 28, 249),
            (0x7ff_fff0, 27, 254),
            (0x3ff_ffee, 26, 255),
            (0x3fff_fffe, 30, 22),
            (0x7fff0, 19, b'\\'),
        ] {
            let padded = u64::from(bits) << (64 - length) | u64::MAX >> length;
            let mut out = Vec::new();
            let input = &padded.to_be_bytes()[..usize::div_ceil(length, 8)];
            assert_eq!(decode(input, &mut out), Ok(()), "{byte}");
            assert_eq!(out, [byte]);
        }
    }

    proptest! {
        #[test]
        fn strings_come_back(input in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut out = Vec::new();
            prop_assert_eq!(decode(&encode(&input), &mut out), Ok(()));
            prop_assert_eq!(out, input);
        }
    }
}
