//! Performers: implementations of [`fetchway_batch::Performer`], each of which sends the requests of a
//! batch one way.
//!
//! `local` sends them through a fetch engine in this process.

mod local;

pub use local::{Local, OriginRules};
