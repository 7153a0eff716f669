//! The binary encoding, `fetchway.v1`: `docs/protocol.md`. The machine that knows its rules is
//! `fetchway_wire::v1::Session`; here is what it drives.
//!
//! `session` holds the machine and the fetches under way, `fetch` is one of them, `own` a
//! stream that is for the node itself, `upload` the request body of either, `directory` finds sessions by their tokens and bounds those without a socket. `serve` is one
//! socket from beginning to end: `attach` its HELLO, `reader` and `writer` its halves, `park` what
//! comes of a session that has lost it, `closing` how it is closed.

mod attach;
mod closing;
mod directory;
mod fetch;
mod own;
mod park;
mod reader;
mod serve;
mod session;
#[cfg(test)]
mod tests;
mod upload;
mod writer;

pub(crate) use attach::Entry;
pub(crate) use directory::Directory;
pub(crate) use serve::serve;
