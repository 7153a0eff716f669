//! What an origin bears: how fast it may be sent to, found out from what it answers.
//!
//! `hints` reads what an answer says of rates, `meter` counts, `pace` decides. Where the highest rate is
//! to be found, `search` does for `pace`, and heeds the `signs` of what an origin does not say.

mod hints;
mod meter;
mod pace;
mod search;
mod signs;

pub(crate) use hints::{Hints, Refused};
pub(crate) use pace::Pace;
pub(crate) use search::{Ended, Search};
