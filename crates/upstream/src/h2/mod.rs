//! The client side of HTTP/2 (RFC 9113) with prior knowledge: one [`Connection`] carries many requests.
//!
//! `connection` is the interface for a driver. `receive` and `response` handle the server's frames, and
//! `send` writes ours within the windows. `hpack` (RFC 7541) compresses heads, `field` and `head`
//! interpret them, and `error` ends a connection that fails.

mod connection;
mod error;
mod field;
mod frame;
mod head;
mod hpack;
mod receive;
mod response;
mod send;
mod settings;
mod stream;

pub use connection::{Connection, Event};
