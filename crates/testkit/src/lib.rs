//! A real node for tests, and JSON clients that share no code with the relay.
//!
//! The end-to-end tests of the relay are in this crate's `tests/`: what a client sees, over real
//! sockets, against `fetchway-test-origins`'s origins. Every wait is for an event; [`PATIENCE`] only turns a
//! hang into a failure.
//!
//! `node` is a node on ports of the system's choice; `client` speaks through a WebSocket library
//! that is not ours, `raw` sends frames that no library would, `binary` speaks the binary encoding
//! frame by frame. `socket` is a client of a gateway; the API behind a gateway is `fetchway-test-origins`'s `Api`.

mod binary;
mod client;
mod node;
mod raw;
mod socket;

pub use binary::{Binary, data, get, head, open};
pub use client::Client;
pub use node::{TestNode, answer, exchange, http};
pub use raw::{Raw, RawFrame, masked};
pub use socket::{Refused, Socket};

use std::time::Duration;

/// How long a test waits for what must happen anyway.
pub const PATIENCE: Duration = Duration::from_secs(60);
