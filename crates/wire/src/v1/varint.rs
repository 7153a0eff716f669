//! Variable-length integers (RFC 9000 section 16), and strings preceded by their length.

use bytes::{BufMut, BytesMut};

use super::malformed::Malformed;

/// The largest integer that can be encoded.
pub(super) const MAX: u64 = (1 << 62) - 1;

/// Returns the encoded length of `value` in bytes.
pub(super) const fn len(value: u64) -> usize {
    match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

/// Appends `value` in the shortest form. A value above [`MAX`] is written as [`MAX`].
pub(super) fn put(out: &mut BytesMut, value: u64) {
    let value = value.min(MAX);
    match len(value) {
        1 => out.put_u8(value as u8),
        2 => out.put_u16(0x4000 | value as u16),
        4 => out.put_u32(0x8000_0000 | value as u32),
        _ => out.put_u64(0xC000_0000_0000_0000 | value),
    }
}

/// Appends `bytes`, preceded by their length.
pub(super) fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.put_slice(bytes);
}

/// Reads values from the front of a frame's payload, or of a block.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Malformed::TRUNCATED)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    /// Reads an integer. A longer form than necessary is accepted.
    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        let first = self.byte()?;
        let rest = self.take((1 << (first >> 6)) - 1)?;
        let value = u64::from(first & 0x3F);
        Ok(rest
            .iter()
            .fold(value, |value, byte| value << 8 | u64::from(*byte)))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.varint()?;
        self.take(usize::try_from(len).map_err(|_| Malformed::TRUNCATED)?)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    /// Fails if bytes are left.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        match self.0 {
            [] => Ok(()),
            _ => Err(Malformed("a frame has bytes after its end")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_as_in_rfc_9000() {
        // The samples of its appendix A.1.
        for (value, bytes) in [
            (
                151_288_809_941_952_652,
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..],
            ),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (15_293, &[0x7b, 0xbd]),
            (37, &[0x25]),
        ] {
            let mut out = BytesMut::new();
            put(&mut out, value);
            assert_eq!((&out[..], len(value)), (bytes, bytes.len()));
            let mut reader = Reader(bytes);
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.end(), Ok(()));
        }
        assert_eq!(Reader(&[0x40, 0x25]).varint(), Ok(37), "longer than needed");
        assert_eq!(Reader(&[0x40]).varint(), Err(Malformed::TRUNCATED));
    }
}
