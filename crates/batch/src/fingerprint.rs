//! The fingerprint of an item: 64 bits of everything that the input says about it.
//!
//! FNV-1a, because it is defined by two numbers and so is the same in every version, and on every
//! machine: it stands in outputs that a later run reads. It guards against a changed input, not
//! against someone who makes two lines with one fingerprint.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The fingerprint of an item's line, without the white space around it. About 1 ns a byte.
#[must_use]
pub fn fingerprint(line: &[u8]) -> u64 {
    line.trim_ascii().iter().fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

/// An item and its fingerprint as one number, for sums that do not depend on the order of items:
/// splitmix64's finaliser, since FNV's own low bits would cancel out.
pub(crate) fn mixed(index: u64, fingerprint: u64) -> u64 {
    let mut z = fingerprint ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fnv_1a_and_ignores_white_space_around() {
        assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(fingerprint(b" foobar\r\n"), fingerprint(b"foobar"));
    }

    #[test]
    fn two_items_that_swap_their_lines_are_noticed() {
        let (a, b) = (fingerprint(b"a"), fingerprint(b"b"));
        let sum = |x, y| mixed(0, x).wrapping_add(mixed(1, y));
        assert_ne!(sum(a, b), sum(b, a));
    }
}
