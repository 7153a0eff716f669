//! The origin against a real client over real sockets.

mod client;
mod ledger;
mod lifecycle;
mod routes;
