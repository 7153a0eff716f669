//! Decides which item of a run is sent next, and when.
//!
//! Everything here is a pure machine: time is an argument, and so is what became of an attempt. The crate
//! knows nothing about what an item is, where it comes from or where its outcome goes.
//!
//! Read in this order: `dispatch` (the machine: events in, items to send out), `pending` (an item on its
//! way), `origins` (items that wait for their origin), `schedule` (the slots of the rate), `pace` (how fast
//! each origin may be sent to, learned from its answers), `cause` (why the schedule slipped), `strict`
//! (no window of the rate holds too many requests) and `ordered` (outcomes in the order of their items).

mod cause;
mod dispatch;
mod ordered;
mod origins;
mod pace;
mod pending;
mod schedule;
mod strict;
mod untaken;

pub use cause::{Cause, Slips};
pub use dispatch::{Dispatch, DispatchConfig};
pub use ordered::{NotAdmitted, OrderedWindow};
pub use origins::{FoundRate, FoundRates, OriginId};
pub use pace::{AttemptEnd, Hints, Refusal};
pub use pending::{Dispatchable, Pending};
pub use strict::{MAX_STRICT, StrictWindow};
