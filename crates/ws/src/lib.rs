//! WebSocket (RFC 6455) without a runtime's opinion: frames in, frames out, and the handshake.
//!
//! Read `frame` (headers and masks), then `decode` (bytes in, events out: pure), `reading` (the same
//! for many sockets with one read buffer), `handshake` (what each side must say first), and `receive`
//! (the only file that touches a socket).
//!
//! Ours because an idle connection must own no codec and no buffer, answers are encoded straight
//! into the socket's batch, and a message over the limit must be skipped without closing.

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
pub use reading::{Reading, Slice, Taken};
pub use receive::{Receiver, write_within};
