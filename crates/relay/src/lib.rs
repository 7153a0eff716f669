//! Sessions: one client's fetches over one WebSocket.
//!
//! Read `limits` (what a session may ask for), then along a fetch's way: `upgrade` (the WebSocket
//! begins), `reader` (a message arrives), `session` (it becomes a fetch, later an answer), `running`
//! (what is under way, so that it can be cancelled), `outbox` and `writer` (the answer leaves).

mod limits;
mod observe;
mod outbox;
mod reader;
mod running;
mod session;
#[cfg(test)]
mod tests;
mod upgrade;
mod writer;

pub use limits::{Limits, Principal};
pub use observe::{NoSessionObserver, SessionObserver};
pub use upgrade::Relay;
