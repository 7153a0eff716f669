//! The random generator SplitMix64: small, fast, and the same on every platform.

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(super) fn chance(&mut self, of_1000: u64) -> bool {
        self.below(1_000) < of_1000
    }

    pub(super) fn pick(&mut self, from: &[u64]) -> Option<u64> {
        let n = self.below(from.len() as u64) as usize;
        from.get(n).copied()
    }

    /// Returns a number that is mostly small, and sometimes `most`.
    pub(super) fn length(&mut self, most: u64) -> u64 {
        let bits = self.below(u64::from(most.max(1).ilog2()) + 2);
        self.below((1 << bits) + 1).min(most)
    }
}
