//! A batch: many fetches run as one unit under one rate, with one outcome for each.
//!
//! Read `item` (what is asked for) and `outcome` (what became of it) first. Items come from `input` and pass
//! through a `run`; their outcomes go to the `journal`, which is the output, as a `line` each.
//!
//! The crate `fetchway-dispatch` decides what is sent and when; `run` drives it. `follow` finds the page that a
//! response names. `fingerprint` tells whether an item is still the one that was fetched.

mod error;
mod file_run;
mod fingerprint;
mod follow;
mod input;
mod item;
mod journal;
mod line;
mod outcome;
mod run;

pub use error::BatchError;
pub use fetchway_dispatch::{Cause, FoundRates, MAX_STRICT};
pub use file_run::{BadLines, Earlier, FileRunConfig, FileRunEnd, Output, Running, Watch};
pub use fingerprint::fingerprint;
pub use follow::Follow;
pub use input::{Count, Feed, Input, InputProgress, MAX_LINE, Range, Source, Template};
pub use item::{Item, Request};
pub use journal::{DoneItems, Format, Found, Journal, Options, Resume, Window, Written};
pub use outcome::{Done, Outcome, Response, Timing};
pub use run::{
    DEFAULT_RETRIES, Handle, Handover, OnSent, Outcomes, Performer, Places, Progress, RunConfig,
    RunSettings, Sent, run,
};
