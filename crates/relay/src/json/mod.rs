//! The JSON encoding: whole messages, whole answers. `reader` (a message arrives), `session` (it
//! becomes a fetch, later an answer), `running` (what is under way, so that it can be cancelled),
//! `outbox` and `writer` (the answer leaves).

mod outbox;
mod reader;
mod running;
mod serve;
mod session;
mod writer;

#[cfg(test)]
pub(crate) use outbox::LOOSE_BYTES;
pub(crate) use serve::serve;
