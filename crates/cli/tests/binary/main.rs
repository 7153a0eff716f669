//! The binary as a person or a supervisor has it: its signals, its flags, its output.

mod commands;
mod profile;
mod serve;
mod signals;
