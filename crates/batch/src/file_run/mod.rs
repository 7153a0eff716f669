//! A run from an input to an output, with everything that belongs to it: an earlier run that is resumed, the
//! threads that read and write, the log of requests, and the summary at the end.
//!
//! [`FileRunConfig::start`] opens the output and begins to fetch, and [`Running::finished`] waits for the end. `input_thread` reads the items, `output_thread` writes the outcomes, and `send_log` counts the
//! requests.

mod config;
mod end;
mod input_thread;
mod output_thread;
mod running;
mod send_log;

pub use config::{BadLines, Earlier, FileRunConfig, Output};
pub use end::FileRunEnd;
pub use running::{Running, Watch};
