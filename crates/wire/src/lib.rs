//! The encodings of the relay protocol, and the PROXY protocol header. No clock and no I/O.
//!
//! `json` is the text encoding: one message for a request, one for its answer. `v1` is the binary
//! encoding: bodies are streamed, and a session survives the loss of its socket. `proxy` reads the
//! header in which a proxy names the client of a connection.

pub mod json;
pub mod proxy;
pub mod v1;
