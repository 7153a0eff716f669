//! The HTTP/2 machine, fed with hand-made frames, and against the server of the `h2` crate.

mod answers;
mod life;
mod limits;
mod peer;
mod refusals;
mod server;
mod slices;
mod windows;
