//! The error of bytes that cannot be decoded.

/// The bytes are not a valid frame or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

impl Malformed {
    pub(super) const TRUNCATED: Self = Self("a frame ends before what it announces");
}
