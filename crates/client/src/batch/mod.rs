//! A batch: many fetches over one stream, which the relay sends to the origins at the requested rate.
//!
//! `options` is the request, `item` the input and `outcome` the output, each a line of JSON; `stream`
//! reads the outcomes.

mod item;
mod options;
mod outcome;
mod stream;

pub use item::BatchItem;
pub(crate) use item::ItemLines;
pub use options::BatchOptions;
pub use outcome::{Outcome, OutcomeTiming};
pub use stream::Batch;
