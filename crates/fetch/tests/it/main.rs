//! The fetch engine against real sockets: a test origin, and peers that follow a script.
//!
//! Each file has one theme. `support` holds what they share: a rig (engine, account, and an
//! observer that counts), and the scripted peers.

mod support;

mod caps;
mod clocks;
mod coding;
mod fields;
mod goaway;
mod guard;
mod lanes;
mod observe;
mod pool_h1;
mod pool_h2;
mod private;
mod redirects;
mod resend_h1;
mod retry;
mod streams;
mod stress;
mod wire_h1;
