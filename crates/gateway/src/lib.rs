//! WebSocket clients in front of a plain HTTP API that has never heard of them.
//!
//! Each floor knows those below it only. `gateway` puts them together and tells handshakes from pushes,
//! `drain` is the gateway's own end. `client` has the clients: a message goes down from there, and its
//! reply comes back up. `api` has the requests to the API, `reactor` the event loops that both run on.
//! `telemetry` is what all of them report to, with `stats`, `observe` and `error_log`.

mod api;
mod client;
mod clock;
mod config;
mod drain;
mod error_log;
mod gateway;
mod observe;
mod reactor;
mod stats;
mod telemetry;

pub use client::Peer;
pub use config::{Config, Delivery, Duplicate, OnLoss, Order, Push};
pub use gateway::Gateway;
pub use observe::{Connected, NoObserver, Observer, Pushed};
pub use stats::Stats;
