//! Deterministic bytes, and the bodies that name themselves.
//!
//! The bytes are slices of one static block, so a megabyte of them costs no copying. The block's
//! length is a prime: a part lost, repeated or moved shows, as no usual part length divides it.

use std::sync::LazyLock;

use bytes::Bytes;

const PERIOD: usize = 65_521;
/// Longest part handed out at once.
const MAX_PART: usize = 16 * 1024;

static TEXT: LazyLock<Bytes> = LazyLock::new(|| {
    block(|byte| {
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[usize::from(byte & 63)]
    })
});
static BINARY: LazyLock<Bytes> = LazyLock::new(|| block(|byte| byte));
static ZEROS: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; PERIOD]));

/// The bytes of a filler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Letters, digits, `-` and `_`: UTF-8, and nothing that JSON must escape.
    Text,
    /// Every byte value; not UTF-8 from 64 bytes on.
    Binary,
    /// Zero bytes, which compress a thousandfold.
    Zeros,
}

/// Iterator over the parts of a filler, none longer than 16 KiB.
#[derive(Clone, Debug)]
pub struct Filler {
    block: &'static Bytes,
    position: usize,
    left: u64,
}

/// `len` bytes; the same `kind`, `seed` and `len` always give the same ones.
#[must_use]
pub fn filler(kind: Kind, seed: u64, len: u64) -> Filler {
    let block = match kind {
        Kind::Text => &TEXT,
        Kind::Binary => &BINARY,
        Kind::Zeros => &ZEROS,
    };
    let start = seed.wrapping_mul(7_919) % PERIOD as u64;
    Filler {
        block,
        position: usize::try_from(start).expect("below the period"),
        left: len,
    }
}

impl Filler {
    /// Takes the first `count` bytes off as a filler of their own; `self` goes on behind them.
    #[must_use]
    pub fn split_to(&mut self, count: u64) -> Self {
        let count = count.min(self.left);
        let head = Self {
            left: count,
            ..*self
        };
        let moved = (self.position as u64 + count) % PERIOD as u64;
        self.position = usize::try_from(moved).expect("below the period");
        self.left -= count;
        head
    }

    /// All parts in one.
    #[must_use]
    pub fn to_vec(self) -> Vec<u8> {
        self.fold(Vec::new(), |mut all, part| {
            all.extend_from_slice(&part);
            all
        })
    }

    /// Whether `bytes` are exactly these.
    #[must_use]
    pub fn matches(self, mut bytes: &[u8]) -> bool {
        for part in self {
            match bytes.strip_prefix(part.as_ref()) {
                Some(rest) => bytes = rest,
                None => return false,
            }
        }
        bytes.is_empty()
    }
}

impl Iterator for Filler {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let len = left.min(MAX_PART).min(PERIOD - self.position);
        if len == 0 {
            return None;
        }
        let part = self.block.slice(self.position..self.position + len);
        self.position = (self.position + len) % PERIOD;
        self.left -= len as u64;
        Some(part)
    }
}

/// FNV-1a, 32 bits: short enough to be written again in any client's language.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    extend_checksum(CHECKSUM_START, bytes)
}

pub(crate) const CHECKSUM_START: u32 = 0x811c_9dc5;

pub(crate) fn extend_checksum(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// The body of `/delay?req=…&size=…`: a line `req=7 size=64 sum=0123abcd`, then `size` bytes of text
/// filler with the seed `req`. `sum` is [`checksum`] of the filler, in hex.
#[must_use]
pub fn expected_body(req: u64, size: usize) -> Vec<u8> {
    let text = filler(Kind::Text, req, size as u64);
    let sum = text
        .clone()
        .fold(CHECKSUM_START, |sum, part| extend_checksum(sum, &part));
    let mut body = format!("req={req} size={size} sum={sum:08x}\n").into_bytes();
    for part in text {
        body.extend_from_slice(&part);
    }
    body
}

/// Whether `body` is, to the byte, what `/delay` answers for `req`.
///
/// # Errors
/// A sentence that says where it differs.
pub fn verify(req: u64, body: &[u8]) -> Result<(), String> {
    let Some(line_end) = body.iter().position(|byte| *byte == b'\n') else {
        return Err(format!(
            "the body for req={req} has {} bytes and no first line",
            body.len()
        ));
    };
    let line = String::from_utf8_lossy(&body[..line_end]);
    let size = body.len() - line_end - 1;
    if !line.starts_with(&format!("req={req} size={size} sum=")) {
        return Err(format!(
            "the body for req={req} with {size} bytes of filler begins with {line:?}"
        ));
    }
    if expected_body(req, size) != body {
        return Err(format!(
            "the body for req={req} has the right length and wrong bytes"
        ));
    }
    Ok(())
}

/// xorshift64*: any generator would do, as long as it never changes.
fn block(shape: impl Fn(u8) -> u8) -> Bytes {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    (0..PERIOD)
        .map(|_| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            shape((state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let once = filler(Kind::Text, 7, 200_000).to_vec();
        assert_eq!(once.len(), 200_000);
        assert_eq!(once, filler(Kind::Text, 7, 200_000).to_vec());
        assert_ne!(once, filler(Kind::Text, 8, 200_000).to_vec());
        // Pinned: clients in other languages hold this figure.
        assert_eq!(checksum(&filler(Kind::Text, 7, 1_000).to_vec()), PINNED);
    }

    const PINNED: u32 = 0x4ab2_4f58;

    #[test]
    fn splitting_changes_no_byte() {
        let whole = filler(Kind::Binary, 3, 150_000).to_vec();
        let mut rest = filler(Kind::Binary, 3, 150_000);
        let mut parts = rest.split_to(66_000).to_vec();
        parts.extend(rest.to_vec());
        assert_eq!(parts, whole);
        assert_eq!(filler(Kind::Text, 1, 5).split_to(9).to_vec().len(), 5);
    }

    #[test]
    fn matching_sees_every_fault() {
        let right = filler(Kind::Text, 9, 70_000).to_vec();
        assert!(filler(Kind::Text, 9, 70_000).matches(&right));
        assert!(!filler(Kind::Text, 9, 70_000).matches(&right[1..]));
        assert!(!filler(Kind::Text, 9, 69_999).matches(&right));
        assert!(!filler(Kind::Text, 10, 70_000).matches(&right));
    }

    #[test]
    fn binary_is_not_utf8_and_text_is() {
        for seed in 0..500 {
            assert!(
                String::from_utf8(filler(Kind::Binary, seed, 64).to_vec()).is_err(),
                "seed {seed}"
            );
            assert!(
                String::from_utf8(filler(Kind::Text, seed, 64).to_vec()).is_ok(),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn a_body_verifies_only_as_what_it_is() {
        let body = expected_body(7, 100);
        assert_eq!(verify(7, &body), Ok(()));
        assert_eq!(verify(0, &expected_body(0, 0)), Ok(()));
        assert!(verify(8, &body).is_err(), "another's");
        assert!(verify(7, &body[..body.len() - 1]).is_err(), "too short");
        assert!(verify(7, b"").is_err(), "empty");
        let mut flipped = body;
        *flipped.last_mut().expect("not empty") ^= 1;
        assert!(verify(7, &flipped).is_err(), "one bit off");
    }
}
