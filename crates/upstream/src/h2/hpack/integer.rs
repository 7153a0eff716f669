//! Integers with a bit prefix (RFC 7541 section 5.1).

use super::Undecodable;

/// The largest accepted value, far above any sensible length or index.
const MAX: usize = 1 << 28;

/// Reads an integer from the front of `bytes`. The first byte holds `prefix` bits of it.
pub(super) fn take(bytes: &mut &[u8], prefix: u32) -> Result<usize, Undecodable> {
    let ended = Undecodable("an integer has no end");
    let (&first, mut rest) = bytes.split_first().ok_or(ended)?;
    let full = (1 << prefix) - 1;
    let mut value = usize::from(first) & full;
    if value == full {
        let mut shift = 0;
        loop {
            let (&byte, behind) = rest.split_first().ok_or(ended)?;
            rest = behind;
            // There are at most five bytes, so the shift stays below the width of a `usize`.
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if value > MAX || shift > 28 && byte & 0x80 != 0 {
                return Err(Undecodable("an integer is too large"));
            }
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *bytes = rest;
    Ok(value)
}

/// Appends `value`. The bits of the first byte above `prefix` are those of `first`.
pub(super) fn put(out: &mut Vec<u8>, first: u8, prefix: u32, value: usize) {
    let full = (1 << prefix) - 1;
    if value < full {
        // The value is below 2^prefix, so it fits.
        out.push(first | value as u8);
        return;
    }
    out.push(first | full as u8);
    let mut rest = value - full;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        // RFC 7541 appendix C.1.
        for (value, prefix, bytes) in [
            (10, 5, &[0b0_1010][..]),
            (1337, 5, &[0b1_1111, 0b1001_1010, 0b0000_1010]),
            (42, 8, &[0b0010_1010]),
        ] {
            let mut out = Vec::new();
            put(&mut out, 0, prefix, value);
            assert_eq!(out, bytes);
            assert_eq!(take(&mut &out[..], prefix), Ok(value));
        }
    }

    #[test]
    fn every_size_comes_back() {
        for prefix in 4..=8 {
            for value in (0..400).chain([16_383, 16_384, 1 << 21, MAX - 1]) {
                let mut out = Vec::new();
                put(&mut out, 0, prefix, value);
                let mut rest = &out[..];
                assert_eq!(take(&mut rest, prefix), Ok(value), "{prefix} bits");
                assert!(rest.is_empty());
            }
        }
    }

    #[test]
    fn what_has_no_end_or_no_measure_is_refused() {
        let endless = [0xff; 12];
        for bytes in [&[][..], &[0x1f], &[0x1f, 0x80], &endless] {
            assert!(take(&mut &*bytes, 5).is_err(), "{bytes:?}");
        }
        // Zeros that only make the integer longer.
        let long = [0x1f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
        assert!(take(&mut &long[..], 5).is_err());
        let large = [0x1f, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(take(&mut &large[..], 5).is_err());
    }
}
