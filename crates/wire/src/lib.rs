//! The relay protocol's encodings, and what else is read from a connection, without clock or I/O.
//!
//! `json` is the one that a person can type: one request, one answer, each a text message. `v1` is
//! binary, streams bodies, and survives the loss of its socket. `proxy` is what a proxy says of a
//! connection that it passes on.

pub mod json;
pub mod proxy;
pub mod v1;
