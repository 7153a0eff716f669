//! Comparison of direct fetches with relayed ones.
//!
//! `samples` are the measurements, `comparison` sets both ways side by side, `table` and `json` write it.

mod comparison;
mod json;
mod samples;
mod table;

pub use comparison::Comparison;
pub use json::to_json;
pub use samples::{Sample, Samples};
pub use table::{paragraph, table};
