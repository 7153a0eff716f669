//! The pace of an origin: how fast it may be sent to, learned from its answers.
//!
//! `end` is how an attempt ended, `hints` what a response says about rates, `meter` counts, and `pace`
//! decides. In an adaptive run `search` finds the highest rate for `pace`, and reads the `signs` of an
//! overloaded origin.

mod end;
mod hints;
mod meter;
#[expect(
    clippy::module_inception,
    reason = "the folder is named for what it makes"
)]
mod pace;
mod search;
mod signs;

pub use end::AttemptEnd;
pub use hints::{Hints, Refusal};
pub(crate) use pace::Pace;
pub(crate) use search::{Search, Verdict};
