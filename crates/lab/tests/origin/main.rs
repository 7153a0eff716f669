//! The origin against a real client over real sockets.

mod client;
mod lifecycle;
mod routes;
