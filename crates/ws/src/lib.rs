//! WebSocket (RFC 6455): frame encoding and decoding, and the opening handshake of both sides.
//!
//! Read `frame` (headers and masks), then `decode` (bytes in, events out, no I/O), `reading` (the same
//! for many sockets that share one read buffer), `handshake` (the HTTP exchange before the first
//! frame), and `receive` (the only file that reads a socket).
//!
//! The crate exists because an idle connection must own no codec and no buffer, answers are encoded
//! straight into the socket's outgoing buffer, and a message over the limit must be skipped without
//! closing.

mod decode;
mod frame;
mod handshake;
mod liveness;
mod reading;
mod receive;

pub use decode::{Decoder, Event, Message, ProtocolError, Role};
pub use frame::{
    CloseCode, Header, MAX_CONTROL, MAX_HEADER, Opcode, close_payload, mask, put_frame, seal,
};
pub use handshake::{Handshake, HandshakeError, Refused, accept, connect};
pub use liveness::{Liveness, Silence};
pub use reading::{FrameReader, ReadState, Received};
pub use receive::{Receiver, write_within};
