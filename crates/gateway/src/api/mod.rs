//! Requests to the API: what they look like, how they get there, and what comes back.
//!
//! Nothing here knows what a client is, beyond [`Client`]: an item is sent for one, and comes back to the
//! client's owner with the API's reply. `sender` chooses between the two ways:
//! - a message goes over a connection of the reactor's own: `pool`, `connection`, and `http1` or `http2`,
//!   which are a `protocol`. No task, no future;
//! - everything else goes through the engine: `send`.
//!
//! Read `item`, `reply` and `event` first.

mod call;
mod connection;
mod event;
mod format;
mod http1;
mod http2;
mod item;
mod outgoing;
mod pool;
mod protocol;
mod reply;
mod send;
mod sender;

pub(crate) use event::{ApiEvent, Finished};
pub(crate) use item::{Client, Content, Item, STATE};
pub(crate) use pool::TOKEN;
pub(crate) use reply::{Reply, is_text};
pub(crate) use send::Api;
pub(crate) use sender::Sender;
