//! The binary encoding, `fetchway.v1`: many streamed fetches over one WebSocket, in a session that
//! outlives its socket. `docs/protocol.md` is the specification.
//!
//! Read `frame` (the types on the wire), `codec` (their bytes), `block` (the contents of OPEN, HEAD and
//! TRAILERS), and then `session` (the state machine that both ends run).

pub mod block;
mod codec;
pub mod frame;
mod malformed;
pub mod session;
mod varint;

pub use block::{RequestHead, ResponseHead};
pub use codec::decode;
pub use frame::{Frame, GoingAway, Hello, Reset, TOKEN};
pub use malformed::Malformed;
pub use session::{Config, Event, Gone, Session, Side, Violation};

/// WebSocket subprotocol that selects this encoding.
pub const SUBPROTOCOL: &str = "fetchway.v1";

/// Maximum length of a WebSocket message in bytes. A message contains whole frames.
pub const MAX_MESSAGE: usize = 64 << 10;
