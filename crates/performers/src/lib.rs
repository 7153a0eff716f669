//! Performers: implementations of [`fetchway_batch::Performer`], each of which sends the requests of a
//! batch one way.
//!
//! `local` sends them through a fetch engine in this process, and `relayed` through relays elsewhere.

mod local;
mod relayed;

pub use local::{Local, OriginRules};
pub use relayed::{Relayed, RelayedConfig, RelayedHandle};
