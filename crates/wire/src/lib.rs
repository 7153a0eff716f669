//! The relay protocol's encodings, without clock or I/O.
//!
//! `json` is the one that a person can type: one request, one answer, each a text message. `v1` is
//! binary, streams bodies, and survives the loss of its socket.

pub mod json;
pub mod v1;
