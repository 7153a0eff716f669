//! The summary of a run.
//!
//! `sends` counts each request, `statistics` each item that has ended; the memory of neither grows with the run.
//! `series` holds both over time. `types` is the summary with all its fields, `build` makes it, and `text` writes
//! it for a terminal.

mod build;
mod sends;
mod series;
mod statistics;
mod text;
mod types;

pub(crate) use build::bar_end;
pub use sends::SendCounter;
pub use statistics::{ItemEnd, ItemResponse, Statistics};
pub(crate) use text::found_rate;
pub use types::{About, Items, Latency, Point, RateHeld, Sends, Sizes, Summary};
