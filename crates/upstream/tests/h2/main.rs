//! The machine of HTTP/2, fed with frames by hand, and against the `h2` crate's server.

mod answers;
mod life;
mod limits;
mod peer;
mod refusals;
mod server;
mod slices;
mod windows;
