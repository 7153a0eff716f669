//! Figures of many fetches: statistics, summaries, plots and comparisons.
//!
//! `summary` counts the requests and outcomes of a run and sums them up, as JSON and as text; `page` shows a
//! summary as an HTML page with plots, which `plot` draws. `compare` sets two ways of making the same fetches
//! side by side. `numbers` writes numbers for people.
//!
//! Nothing here fetches, reads or writes anything: the crate is given numbers.

pub mod compare;
mod html;
mod numbers;
mod page;
mod plot;
mod summary;

pub use numbers::{bytes, counted, decimal, duration, grouped};
pub use page::page;
pub use plot::{Axis, Plot, Scale};
pub use summary::{
    About, ItemEnd, ItemResponse, Items, Latency, Point, RateHeld, SendCounter, Sends, Sizes,
    Statistics, Summary,
};
