//! HPACK (RFC 7541): compressed heads, by tables of which both ends keep the same copy.

mod decoder;
mod dynamic;
mod encoder;
mod huffman;
mod integer;
mod statics;

pub(super) use decoder::Decoder;
pub(super) use encoder::Encoder;

/// Bytes that a table entry counts beside its name and value (RFC 7541 section 4.1).
const OVERHEAD: usize = 32;

/// Size of both tables in bytes. It is the default, which we leave unchanged for the server's heads,
/// and the most that we use of the server's table for our heads.
const TABLE_SIZE: usize = 4_096;

/// The reason for which a block cannot be decoded. The tables of the two ends then differ, so the
/// connection fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable(pub(super) &'static str);

#[cfg(test)]
mod tests;
