//! The files of a run: inputs as they come, outputs as crashes leave them.

#![expect(clippy::print_stdout, reason = "a test that fails shows its seed")]

mod bodies;
mod chains;
mod crash;
mod input;
mod refuse;
mod retry;
mod run;
