//! A batch: many fetches run as one unit under one rate, with one account of what became of each.
//!
//! Read `item` (what is asked for) and `outcome` (what became of it) first.

mod item;
mod outcome;

pub use item::{Item, Request};
pub use outcome::{Body, Outcome, Response, Timing};
