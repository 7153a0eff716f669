//! The binary as a person or a supervisor has it: its signals, its flags, its output.

mod batch;
mod commands;
mod gateway;
mod profile;
mod serve;
mod signals;
