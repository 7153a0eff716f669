//! What an origin bears: how fast it may be sent to, found out from what it answers.
//!
//! `hints` reads what an answer says of rates, `meter` counts, `pace` decides.

mod hints;
mod meter;
mod pace;

pub(crate) use hints::Hints;
pub(crate) use pace::Pace;
