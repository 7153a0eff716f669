//! Inputs of a batch: a file, standard input, or a template with a range.
//!
//! `source` opens an input, `lines` splits it into lines, `template` makes URLs of numbers, `parse` makes an
//! item of a line, and `items` returns the items one by one. Only one line is in memory at a time. `feed` is
//! for lines that arrive in pieces.

mod feed;
mod items;
pub(crate) mod lines;
mod parse;
mod progress;
mod source;
mod template;

pub use feed::Feed;
pub use items::Input;
pub use parse::MAX_LINE;
pub use progress::{Count, InputProgress};
pub use source::Source;
pub use template::{Range, Template};
