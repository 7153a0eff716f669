//! The common ground of a node's capabilities: the relay, batches and the gateway import this crate, and
//! not one another.
//!
//! Read `principal` and `limits` (on whose behalf a capability acts, and within which bounds), `places`
//! (how many sessions a credential may have), `stream` (streams of a session that the node serves itself),
//! `problem` (answers and refusals) and `shutdown` (how work ends when the node does).

mod limits;
mod places;
mod principal;
pub mod problem;
mod shutdown;
mod stream;

pub use limits::{BinaryLimits, Limits};
pub use places::{Place, Places};
pub use principal::Principal;
pub use shutdown::{Phase, Shutdown, Work};
pub use stream::{Call, StreamService, StreamServices};
