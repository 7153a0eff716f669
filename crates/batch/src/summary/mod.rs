//! What became of a run, in numbers.
//!
//! `pace` is told of each dispatch, `statistics` of each outcome; neither grows with the run. `series`
//! is what both have over time. `summary` is the whole of it, `text` for people, and `report` a page.

mod pace;
mod report;
mod series;
mod statistics;
#[expect(
    clippy::module_inception,
    reason = "the folder is named for what it makes"
)]
mod summary;
mod text;

pub use pace::Pace;
pub use report::report;
pub use statistics::Statistics;
pub use summary::{About, Bytes, Held, Items, Latency, Point, Sends, Summary};
pub use text::{counted, grouped};
