//! The output of a run, which is also its journal: after a crash, the output alone tells which items are done.
//!
//! `writer` appends lines in whole writes, `format` is their compression, `bodies` writes the files of bodies,
//! `window` keeps lines back for the order, and `file` locks a file against other runs. `scan` reads an output, `found` and
//! `done` (with `chains`) hold its content, and `resume` continues it.

mod bodies;
mod chains;
mod done;
mod file;
mod format;
mod found;
mod resume;
mod scan;
mod window;
mod writer;

pub use done::DoneItems;
pub use format::Format;
pub use found::Found;
pub use resume::Resume;
pub use window::Window;
pub use writer::{Journal, Options, Written};
