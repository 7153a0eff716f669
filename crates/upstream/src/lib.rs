//! Clients of HTTP/1.1 and HTTP/2 as state machines: bytes in, bytes out, without clock, socket or
//! futures.
//!
//! A gateway sends each client message to its API as one small request with a complete body. The
//! machines therefore do less than a general HTTP client: no streamed bodies, no TLS, no upgrades, no
//! HEAD or CONNECT. The driver around them owns sockets and time, and chooses connections.
//!
//! Read `message` (request, response and limits) and `failure` first, then [`h1`] or [`h2`].

mod decimal;
mod failure;
mod fields;
pub mod h1;
pub mod h2;
mod message;

pub use failure::Failure;
pub use message::{Limits, Request, Response};
