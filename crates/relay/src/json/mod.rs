//! The JSON encoding: whole messages, whole answers. `reader` receives a message, `session` makes a fetch of
//! the message and an answer of the fetch, `running` keeps the fetches in progress for cancels, and `outbox`
//! and `writer` send the answer.

mod outbox;
mod reader;
mod running;
mod serve;
mod session;
mod writer;

#[cfg(test)]
pub(crate) use outbox::LOOSE_BYTES;
pub(crate) use serve::serve;
