//! A batch: many fetches run as one unit under one rate, with one account of what became of each.
//!
//! Read `item` (what is asked for) and `outcome` (what became of it) first. Items come from `input`;
//! outcomes go to the `journal`, which is the output, a `line` each.

mod fingerprint;
mod input;
mod item;
mod journal;
mod line;
mod outcome;

pub use fingerprint::fingerprint;
pub use input::{Input, InputError, MAX_LINE, Progress, Range, Source, Template};
pub use item::{Item, Request};
pub use journal::{
    DoneItems, Format, Found, Journal, JournalError, Options, Resume, Window, Written,
};
pub use outcome::{Body, Outcome, Response, Timing};
