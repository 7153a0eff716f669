//! The common ground of a node's capabilities: the relay, batches and the gateway import this crate, and
//! not one another.
//!
//! Read `principal` and `limits` (on whose behalf a capability acts, and within which bounds), `places`
//! (how many sessions and batches a credential may have), `route` and `stream` (how a capability registers
//! for requests of the main listener and for streams of a session), `problem` and `reply` (answers and
//! refusals) and `shutdown` (how work ends when the node does).

mod limits;
mod places;
mod principal;
pub mod problem;
pub mod reply;
mod route;
mod shutdown;
mod stream;

pub use limits::{BinaryLimits, Limits};
pub use places::{Place, PlaceCounts, Places};
pub use principal::Principal;
pub use route::{Replying, Route, TOKEN_PROTOCOL, offered_protocols};
pub use shutdown::{Phase, Shutdown, Work};
pub use stream::{Call, StreamService, StreamServices};
