//! The binary encoding, `fetchway.v1`: many streamed fetches over one WebSocket, in a session that
//! outlives its socket. `docs/protocol.md` is its specification.
//!
//! Read `frame` (what goes over the wire), `block` (what OPEN, HEAD and TRAILERS carry), and then
//! `session` (the machine that both ends run).

pub mod block;
pub mod frame;
pub mod session;
mod varint;

pub use block::{RequestHead, ResponseHead};
pub use frame::{Frame, GoingAway, Hello, Malformed, Reset, TOKEN, decode};
pub use session::{Breach, Config, Event, Gone, Session, Side};

/// The WebSocket subprotocol that chooses this encoding.
pub const SUBPROTOCOL: &str = "fetchway.v1";

/// The longest WebSocket message, in bytes: some whole frames.
pub const MAX_MESSAGE: usize = 64 << 10;
