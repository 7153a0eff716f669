//! The input as numbers and bytes. After its end, zeros follow.

use bytes::Bytes;

/// Maximum length of a piece of a body.
pub(super) const MOST_PIECE: usize = 255 * 255;

pub(super) struct Script<'a>(pub(super) &'a [u8]);

impl Script<'_> {
    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub(super) fn number(&mut self) -> u64 {
        u64::from(self.byte())
    }

    /// Returns a small number, for a stream or an option.
    pub(super) fn id(&mut self) -> u64 {
        self.number() % 12
    }

    /// Returns a length, small or large.
    pub(super) fn length(&mut self) -> usize {
        let byte = usize::from(self.byte());
        if byte < 128 { byte } else { byte * byte }
    }

    /// Returns a piece of a body.
    pub(super) fn piece(&mut self) -> Bytes {
        Bytes::from(vec![b'x'; self.length()])
    }

    /// Returns bytes of the input.
    pub(super) fn raw(&mut self) -> Bytes {
        let n = usize::from(self.byte()).min(self.0.len());
        let (raw, rest) = self.0.split_at(n);
        self.0 = rest;
        Bytes::copy_from_slice(raw)
    }
}
