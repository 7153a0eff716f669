//! The binary encoding: sessions that survive lost sockets, with one stream for each fetch.
//!
//! Read in this order: `state` is a session and its lock, `slot` what has arrived for one stream,
//! `stream` and `upload` a fetch's access to its stream, `protocol` what is read from and written to a
//! socket, `cancels` the limit of cancels.

mod cancels;
mod protocol;
mod slot;
mod state;
mod stream;
mod upload;

pub(super) use state::BinarySession;
pub(crate) use stream::{ResponseBody, Stream};
pub(crate) use upload::{BodyRefused, BodySender};
