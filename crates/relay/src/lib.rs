//! Sessions: one client's fetches over a WebSocket.
//!
//! Read `limits` (what a session may ask for) and `upgrade` (the WebSocket begins, all sessions end).
//! Then one of the two encodings: `json`, whose session is its socket, or `v1`, binary, whose session
//! outlives its sockets. `ending` is what they have in common; `places` bounds how many there are.
//! `service` is what else a node may do for a session of the binary encoding.

mod ending;
mod json;
mod limits;
mod observe;
mod places;
mod service;
#[cfg(test)]
mod tests;
mod upgrade;
mod v1;

pub use limits::{BinaryLimits, Limits, Principal};
pub use observe::{NoSessionObserver, SessionObserver};
pub use places::{Place, Places, Refusal};
pub use service::{Call, Service};
pub use upgrade::{Encoding, Relay};
