//! A batch: many fetches run as one unit under one rate, with one account of what became of each.
//!
//! Read `item` (what is asked for) and `outcome` (what became of it) first. Items come from `input` and
//! pass through `run`; outcomes go to the `journal`, which is the output, a `line` each, and are counted
//! for the `summary`.
//!
//! What is sent when is decided by pure machines: `dispatch` (what next), `schedule` (the rate),
//! `origins` with `origin` (what each origin bears), `strict` (windows that hold no more), `follow` (the
//! page that a response names). A `job` is an item on its way through them. `worker` has the tasks that
//! drive them, `outbox` what they are done with; `perform` and `handover` are where what performs a fetch
//! meets them, `progress` is what is told meanwhile, and `cause` why it was slower than it should be.

mod cause;
mod dispatch;
mod fingerprint;
mod follow;
mod handover;
mod input;
mod item;
mod job;
mod journal;
mod line;
mod origin;
mod origins;
mod outbox;
mod outcome;
mod perform;
mod progress;
mod run;
mod schedule;
mod shared;
mod strict;
mod summary;
mod worker;

pub use cause::Cause;
pub use fingerprint::fingerprint;
pub use follow::Follow;
pub use handover::Handover;
pub use input::{Count, Feed, Input, InputError, InputProgress, MAX_LINE, Range, Source, Template};
pub use item::{Item, Request};
pub use journal::{
    DoneItems, Format, Found, Journal, JournalError, Options, Resume, Window, Written,
};
pub use outcome::{Outcome, Response, Timing};
pub use perform::Performer;
pub use progress::{Adaptive, AdaptiveRate, Progress};
pub use run::{Done, Handle, Outcomes, Places, RunConfig, run};
pub use shared::{OnSent, Sent};
pub use strict::MAX_STRICT;
pub use summary::{
    About, Bytes, Held, Items, Latency, Pace, Point, Sends, Statistics, Summary, counted, grouped,
    report,
};
