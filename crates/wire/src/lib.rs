//! The relay protocol's encodings, without clock or I/O.
//!
//! `json` is the one that a person can type: one request, one answer, each a text message.

pub mod json;
