//! The JSON encoding: whole bodies, one message for each request and each response, and sessions that end
//! with their socket.
//!
//! Read in this order: `state` is a session and its lock, `pending` a fetch's access to it, `request` and
//! `answer` the messages (`docs/json.md`), `protocol` what is read from and written to the socket.

mod answer;
mod pending;
mod protocol;
mod request;
mod state;

pub(crate) use answer::{read_error, read_outcome};
pub(crate) use pending::PendingAnswer;
pub(crate) use request::{MAX_REQUEST, batch_line, too_long};
pub(super) use state::JsonSession;
