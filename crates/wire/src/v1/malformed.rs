//! The error of bytes that cannot be decoded.

use std::fmt;

/// The bytes are not a valid frame or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl Malformed {
    pub(super) const TRUNCATED: Self = Self("a frame ends before what it announces");
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}
