//! The binary encoding, `fetchway.v1`: `docs/protocol.md`. The state machine with its rules is
//! `fetchway_wire::v1::Session`, and this module is its driver.
//!
//! `session` holds the machine and the fetches in progress. `fetch` performs one of them, `node_stream`
//! serves a stream that addresses the node, and `upload_body` is the request body of either. `directory` finds
//! sessions by their tokens, and bounds those without a socket. `serve` runs one socket from beginning to
//! end: `attach` handles its HELLO, `reader` and `writer` are the halves of a `socket`, `park` keeps a session that has
//! lost its socket, and `closing` has the close codes.

mod attach;
mod closing;
mod directory;
mod fetch;
mod node_stream;
mod park;
mod reader;
mod serve;
mod session;
mod socket;
#[cfg(test)]
mod tests;
mod upload;
mod upload_body;
mod writer;

pub(crate) use directory::Directory;
pub(crate) use serve::serve;
