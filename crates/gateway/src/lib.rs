//! WebSocket clients in front of a plain HTTP API that has never heard of them.
//!
//! A client passes through these files in this order: `connect` with `request` (its handshake; the API
//! is asked), `table` (all clients by their ids), `reactor` with `socket` (where its socket waits),
//! `traffic` (what it sends and takes), `order` (the pure machine that says what goes to the API next),
//! `deliver` (how it gets there), `life` (how connections with one id follow each other). `push` is the
//! API's way to a client, `leave` the gateway's own end, `trouble` what the log says of it. `conn` is what is kept of one client,
//! `gateway` what all parts share.

mod call;
mod config;
mod conn;
mod connect;
mod deliver;
mod gateway;
mod leave;
mod life;
mod line;
mod lines;
mod observe;
mod order;
mod push;
mod reactor;
mod request;
mod socket;
mod stats;
mod table;
mod traffic;
mod trouble;
mod unread;

pub use config::{Config, Delivery, Duplicate, OnLoss, Order, Push};
pub use gateway::{Gateway, Peer};
pub use observe::{Connected, NoObserver, Observer, Pushed};
pub use stats::Stats;
pub use unread::pass_over;
