//! A run from an input to an output, with everything that belongs to it: an earlier run that is resumed, the
//! threads that read and write, the log of requests, and the summary at the end.
//!
//! [`FileRun::open`] opens the output, [`FileRun::start`] begins to fetch, and [`Running::finished`] waits for
//! the end. `input_thread` reads the items, `output_thread` writes the outcomes, and `send_log` counts the
//! requests.

mod config;
mod end;
mod error;
mod input_thread;
mod open;
mod output_thread;
mod running;
mod send_log;

pub use config::{BadLines, Earlier, FileRunConfig, Output};
pub use end::{Failure, FileRunEnd};
pub use error::FileRunError;
pub use open::FileRun;
pub use running::{Running, Watch};
