//! Clients: how they connect, what they send and are sent, and how they go.
//!
//! Read `connection` (what is kept of one), `order` (the pure machine that says what goes to the API next)
//! and `lifecycle` (all of them together) first. Then a client passes through `connect` with `handshake`,
//! `table`, `traffic` with `socket` and `reader` (on its reactor's thread), and `succession` (when it goes). `push` is the API's way to a client.

mod connect;
mod connection;
mod handshake;
mod lifecycle;
mod liveness;
mod order;
pub(crate) mod push;
mod reader;
mod socket;
mod succession;
mod table;
mod traffic;
mod work;

pub(crate) use connect::connect;
pub use handshake::Peer;
pub(crate) use lifecycle::Lifecycle;
pub(crate) use liveness::SLICES;
pub(crate) use traffic::Traffic;
pub(crate) use work::Work;
