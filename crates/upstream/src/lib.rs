//! Clients of HTTP/1.1 and HTTP/2 as machines without clock, socket or futures: bytes in, bytes out.
//!
//! They are what a gateway's messages go through, each as one small request whose body is whole to one
//! API that is known, so they do less than an engine must: no streamed bodies, no TLS, no upgrades, no
//! HEAD or CONNECT. Whoever drives them owns sockets, time and the choice of a connection.
//!
//! Read `message` (what goes in and comes out) and `failure` first, then [`h1`] or [`h2`].

mod decimal;
mod failure;
mod fields;
pub mod h1;
pub mod h2;
mod message;

pub use failure::Failure;
pub use message::{Answer, Limits, Request};
