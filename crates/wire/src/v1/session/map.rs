//! A map of streams by their numbers.
//!
//! The order of iteration differs in each session. Code that iterates, and thereby influences what is
//! sent, must sort the numbers first.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A map from stream numbers to values.
pub type StreamMap<T> = HashMap<u64, T, Seed>;

/// Random seed of the hash, so that a client, which chooses the numbers, cannot provoke collisions.
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0_u64))
    }
}

impl BuildHasher for Seed {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher(self.0)
    }
}

/// Hasher for stream numbers: one multiplication. Numbers mostly count up, and SipHash would cost as
/// much as a small frame.
#[derive(Debug)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        // Both halves of the product are needed: one half alone would not separate numbers that differ
        // only at one end.
        let product = u128::from(self.0 ^ id) * 0x9E37_79B9_7F4A_7C15;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Returns the nth number, given the inverse of the factor.
    type Family = fn(u64, u64) -> u64;

    /// Counts the different values in 12 bits of the hashes, starting at bit `shift`.
    fn spread(seed: &Seed, ids: impl Iterator<Item = u64>, shift: u32) -> usize {
        let parts = ids.map(|id| (seed.hash_one(id) >> shift) & 0xfff);
        parts.collect::<HashSet<_>>().len()
    }

    /// Returns the inverse of an odd number modulo 2^64, by Newton's iteration.
    fn inverse(odd: u64) -> u64 {
        (0..6).fold(odd, |inverse, _| {
            inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)))
        })
    }

    #[test]
    fn numbers_that_agree_in_their_low_or_high_bits_spread() {
        let seeds = [Seed(0), Seed(1), Seed(u64::MAX), Seed::default()];
        let undo = inverse(0x9E37_79B9_7F4A_7C15);
        assert_eq!(undo.wrapping_mul(0x9E37_79B9_7F4A_7C15), 1);
        let families: [(&str, Family); 6] = [
            ("in a row", |n, _| n),
            ("low bits equal", |n, _| n << 50),
            ("only bits in the middle differ", |n, _| n << 24),
            ("high bits equal", |n, _| (1 << 61) + n),
            ("the multiplication undone", |n, undo| n.wrapping_mul(undo)),
            ("undone, low bits equal", |n, undo| {
                (n << 20).wrapping_mul(undo)
            }),
        ];
        for seed in &seeds {
            for (name, family) in families {
                // Of 4,096 random values, 63 % would differ. The low bits choose the bucket; the high
                // bits distinguish its entries.
                for shift in [0, 52] {
                    let ids = (1..=4_096).map(|n| family(n, undo));
                    let different = spread(seed, ids, shift);
                    assert!(
                        different > 1_500,
                        "{name}: {different} at {shift}, {seed:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn each_session_has_its_own_order() {
        assert_ne!(Seed::default().hash_one(1), Seed::default().hash_one(1));
    }
}
