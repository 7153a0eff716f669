//! HPACK (RFC 7541): heads in few bytes, by tables that both ends keep alike.

mod decoder;
mod dynamic;
mod encoder;
mod huffman;
mod integer;
mod statics;

pub(super) use decoder::Decoder;
pub(super) use encoder::Encoder;

/// Bytes that an entry takes beside its name and value (RFC 7541 section 4.1).
const OVERHEAD: usize = 32;

/// Bytes of either table: the default, which we leave for the server's heads, and the most that we use
/// of what it keeps for ours.
const TABLE_SIZE: usize = 4_096;

/// Why a block cannot be decoded. The tables of the two ends then differ, and the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable(pub(super) &'static str);

#[cfg(test)]
mod tests;
