//! HTTP/2 (RFC 9113) with prior knowledge, as a client: one [`Connection`] carries many requests.
//!
//! `connection` is what a driver sees; `receive` and `response` take the server's frames, `send` lays ours
//! out within the windows. `hpack` (RFC 7541) compresses heads, `field` and `head` say what a field and a head mean.

mod connection;
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
