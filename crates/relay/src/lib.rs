//! Sessions: one client's fetches over a WebSocket.
//!
//! Read `route` and `upgrade` first: a WebSocket becomes a session. Then read one of the two encodings: `json`, whose
//! session is its socket, or `v1`, binary, whose session outlives its sockets. `relay` is what sessions
//! share, `ending` has the reasons why sessions end, and `refusals` those why a fetch is refused.

mod ending;
mod json;
mod observe;
mod refusals;
mod relay;
mod route;
#[cfg(test)]
mod tests;
mod upgrade;
mod v1;

pub use ending::EndReason;
pub use observe::{NoSessionObserver, SessionObserver};
pub use relay::Relay;
